/** Loads the words of codes, for `parseCode` and `completeCode`. They are apart, because most guests need none. */
export async function codeWords(): Promise<readonly string[]> {
  return (await import('./words.js')).words
}
