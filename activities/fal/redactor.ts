/** Shorter parts are no secret and may be anywhere. */
const MIN_SECRET_CHARS = 8;

/** Takes the key out of a text, whole or its secret half (`id:secret`): a server may repeat what it was sent. */
export function redactor(key: string): (text: string) => string {
  const parts = [key, ...key.split(':')].filter((part) => part === key || part.length >= MIN_SECRET_CHARS);
  return (text) => parts.reduce((cleaned, part) => cleaned.replaceAll(part, '[FAL_KEY]'), text);
}
