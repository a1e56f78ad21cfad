/** Things that must be let go of, released last in, first out; one failing release never skips the others. */
export class ResourceStack {
  readonly #releases: { readonly name: string; readonly release: () => Promise<void> | void }[] = [];

  add(name: string, release: () => Promise<void> | void): void {
    this.#releases.push({ name, release });
  }

  /** Releases everything and answers what failed, so that the caller decides how loudly to say so. */
  async release(): Promise<readonly { readonly name: string; readonly error: unknown }[]> {
    const failures: { name: string; error: unknown }[] = [];
    for (let entry = this.#releases.pop(); entry !== undefined; entry = this.#releases.pop()) {
      try {
        await entry.release();
      } catch (error) {
        failures.push({ name: entry.name, error });
      }
    }
    return failures;
  }
}
