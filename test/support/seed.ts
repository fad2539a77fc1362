import fc from 'fast-check'

// Properties draw the same inputs in each run, so that a run says the same of the same code.
// `PEERAGE_SEED=random npm test` draws others, a number draws those of a failure again.
const asked = process.env['PEERAGE_SEED'] ?? '1'
if (asked !== 'random') {
  const seed = Number(asked)
  if (!Number.isSafeInteger(seed)) throw new Error(`PEERAGE_SEED=${asked}: must be a whole number, or random`)
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })
}
