/** Makes a `switch` over one of our unions complete: a new member does not compile until someone decides. */
export function assertNever(value: never): never {
  throw new Error(`Not a member of the union: ${JSON.stringify(value)}`);
}
