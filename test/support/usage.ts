/**
 * What a command was given is wrong; the message says what, in one line. `scripts/run.mjs` prints it and the command's
 * `USAGE`, and ends with 2, as it does where `parseArgs` knows an option not at all.
 */
export class WrongUsage extends Error {
  readonly code = 'WRONG_USAGE'
}

/** The whole number that an option was given. */
export function wholeNumber(option: string, given: string, least: number): number {
  const value = Number(given)
  if (given.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value
  throw new WrongUsage(`--${option} is a whole number from ${least} on, not "${given}"`)
}

/** Throws unless all that was asked for is there. */
export function requireKnown(what: string, unknown: readonly string[], known: readonly string[]): void {
  if (unknown.length === 0) return
  throw new WrongUsage(`no such ${what}: ${unknown.join(', ')}; there are ${known.join(', ')}`)
}
