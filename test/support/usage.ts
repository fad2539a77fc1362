/**
 * The arguments of a command are wrong, and the message says why in one line. `scripts/run.mjs` prints it with the
 * command's `USAGE` and exits with 2, as it does for an option that `parseArgs` does not know.
 */
export class WrongUsage extends Error {
  readonly code = 'WRONG_USAGE'
}

/** Reads the whole number given for an option. */
export function wholeNumber(option: string, given: string, least: number): number {
  const value = Number(given)
  if (given.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value
  throw new WrongUsage(`--${option} must be a whole number of at least ${least}, not "${given}"`)
}

/** Throws if anything unknown was asked for. */
export function requireKnown(what: string, unknown: readonly string[], known: readonly string[]): void {
  if (unknown.length === 0) return
  throw new WrongUsage(`unknown ${what}: ${unknown.join(', ')}; known are ${known.join(', ')}`)
}
