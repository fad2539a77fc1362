const EVERY_MS = 20

/** Resolves with the first value of `look` that is not false or undefined. The asking side has the deadline. */
export async function until(look) {
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}
