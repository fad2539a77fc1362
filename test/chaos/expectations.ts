import type { ExpectStatic } from 'vitest'
import { CLEAN, percentile } from './checker.js'
import type { ClassResult } from './run.js'

/** Fails unless a class of faults met its expectation. `said` is what the bench logged. */
export function expectMet(
  expect: ExpectStatic,
  result: ClassResult | undefined,
  said: readonly string[],
): void {
  const log = said.join('\n')
  if (result === undefined) throw new Error(`the class did not run:\n${log}`)
  expect(result.verdict, log).toMatchObject(CLEAN)
  expect(result.verdict.acknowledged).toBeGreaterThan(100)
  expect(
    result.notes.filter((note) => !note.ok),
    log,
  ).toEqual([])
  expect(percentile(result.outagesMs, 0.99), log).toBeLessThanOrEqual(result.fault.outageP99Ms)
}
