import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import type { TokenBucket } from '../../lib/token-bucket.js'
import { HandshakeReports } from './handshake-reports.js'

interface Reporter {
  reports?: TokenBucket
}

function newReports() {
  const clock = new FakeClock()
  const counted: string[] = []
  const lines: Record<string, unknown>[] = []
  const reports = new HandshakeReports({
    clock,
    metrics: {
      handshake: (path) => counted.push(path),
      rejected: (_, reason) => counted.push(reason),
    },
    log: (_, details) => lines.push(details),
  })
  const reporter = (): Reporter => ({})
  const take = (from: Reporter, count: number): void => {
    for (let i = 0; i < count; i++)
      reports.take(from, { type: 'report', handshake: 'h', path: 'direct', ms: 5 })
  }
  const count = (what: string): number => counted.filter((one) => one === what).length
  return { clock, lines, reporter, take, count }
}

test('[WR9] reports of one connection over its rate count as refused, and are neither counted as handshakes nor logged', async () => {
  const { clock, lines, reporter, take, count } = newReports()
  const [loud, other] = [reporter(), reporter()]
  take(loud, 1_000)
  expect([count('direct'), count('rate-limited'), lines.length]).toEqual([20, 980, 20])
  take(other, 5)
  expect(count('direct')).toBe(25)
  await clock.advance(1_000)
  take(loud, 1_000)
  expect(count('direct')).toBe(35)
})

test('[WR9] reports of many peers are all counted, but only some are logged', async () => {
  const { clock, lines, reporter, take, count } = newReports()
  for (let i = 0; i < 300; i++) take(reporter(), 1)
  expect([count('direct'), lines.length]).toEqual([300, 100])
  await clock.advance(1_000)
  take(reporter(), 2)
  expect(lines.slice(100)).toEqual([
    { handshake: 'h', path: 'direct', stage: undefined, ms: 5, more: 200 },
    { handshake: 'h', path: 'direct', stage: undefined, ms: 5 },
  ])
})
