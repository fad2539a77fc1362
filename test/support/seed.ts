import fc from 'fast-check'

// Property tests use the same inputs in each run, so that the same code gives the same result.
// `PEERAGE_SEED=random npm test` uses new inputs, and a number repeats those of a failure.
const asked = process.env['PEERAGE_SEED'] ?? '1'
if (asked !== 'random') {
  const seed = Number(asked)
  if (!Number.isSafeInteger(seed)) throw new Error(`PEERAGE_SEED=${asked}: must be a whole number, or random`)
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })
}
