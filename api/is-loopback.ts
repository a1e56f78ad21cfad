/** True for an address to bind to that only this machine reaches. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  return ['localhost', '::1', '[::1]'].includes(name) || name.startsWith('127.');
}
