import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ClaimRequest } from '@peerage/core'
import { RecordedConnection, peerNamed } from '@peerage/test-support/testing/core.js'
import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { appsOf } from '../../testing/apps.js'
import { appOf } from '../../testing/peerjs-fixture.js'
import { unlimited } from '../../testing/unlimited.js'
import { AppBudgets } from '../../apps/budgets.js'
import type { ConfigInput } from '../../config/schema.js'
import type { AccessDecision, Allowed } from './access.js'
import type { Applicant, Claimed, ClaimerOptions, ClaimingConnection } from './claimer.js'
import { Claimer } from './claimer.js'
import { Limits } from './limits.js'

const ADDRESS = '192.0.2.1'
const admitted: AccessDecision = { ok: true, app: appOf('default') }
const refused: AccessDecision = { ok: false, code: 'forbidden', detail: 'no' }

class AddressedConnection extends RecordedConnection implements ClaimingConnection {
  readonly address = ADDRESS
  app: ClaimingConnection['app']
  access: Allowed | undefined
}

function nameOf(text: string): Name {
  const name = parseName(text)
  if (!name.ok) throw new Error(name.problem)
  return name.value
}

const applicant = (name: string, answer: AccessDecision, more: Partial<Applicant> = {}): Applicant => ({
  app: undefined,
  name: nameOf(name),
  isNameMade: false,
  origin: undefined,
  admit: () => Promise.resolve({ admitted: answer, secret: 'secret' }),
  ...more,
})

/** A claimer for which every name is taken. */
function claimer(settings: ConfigInput = {}, more: Partial<ClaimerOptions> = {}) {
  const clock = new FakeClock()
  const asked: ClaimRequest[] = []
  const refusals: string[] = []
  const apps = appsOf({ taken: 'replace', ...settings })
  const metrics = {
    appRouted: () => {},
    appRefused: (label: string, reason: string) => refusals.push(`${label} ${reason}`),
  }
  const budgets = new AppBudgets(apps, clock, metrics)
  const claims = new Claimer({
    node: {
      claim: (_, request) => {
        asked.push(request)
        return Promise.resolve({ ok: false, code: 'name-taken' })
      },
    },
    clock,
    limits: new Limits(unlimited, clock),
    onRefused: () => {},
    metrics,
    apps,
    budgets,
    ...more,
  })
  const connection = new AddressedConnection('1')
  const claim = (of: Applicant): Promise<Claimed | undefined> => claims.claim(connection, of)
  return { asked, connection, claim, budgets, clock, refusals, apps }
}

test('[I9] an identity replaces a holder, also if the answer of the access rules is a class with a getter', async () => {
  class Answer {
    readonly ok = true
    readonly app = appOf('default')
    get identity(): string {
      return 'somebody'
    }
  }
  const { asked, claim } = claimer()
  await claim(applicant('bob', new Answer()))
  await claim(applicant('bob', admitted))
  expect(asked).toEqual([
    { peer: peerNamed('bob'), secret: 'secret', policy: 'replace' },
    { peer: peerNamed('bob'), secret: 'secret', policy: 'refuse' },
  ])
})

test('[WH7] refusals of a name that looks like an app and a name do not count for that name of that app', async () => {
  const { claim } = claimer({ limits: { name: { failuresPerMinute: 2 } } })
  for (let i = 0; i < 5; i++) await claim(applicant('default/bob', refused))
  expect(await claim(applicant('default/bob', refused))).toMatchObject({ code: 'forbidden' })
  expect(await claim(applicant('bob', admitted))).toEqual({ ok: false, code: 'name-taken', waitMs: 0 })
})

test('a peer that goes while the access rules are asked claims nothing', async () => {
  const { asked, connection, claim } = claimer()
  const answer = claim(applicant('bob', admitted))
  connection.close('left')
  expect(await answer).toBeUndefined()
  expect(asked).toEqual([])
})

test('the count of a refused name does not keep the text that the name came in', async () => {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') throw new Error('gc is needed')
  const heap = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const { claim } = claimer()
  const before = heap()
  for (let i = 0; i < 500; i++) {
    const query = Buffer.from(`a-name-of-number-${i}&pad=`.padEnd(100_000, 'x')).toString()
    await claim(applicant(query.slice(0, query.indexOf('&')), refused))
  }
  expect(heap() - before).toBeLessThan(20_000_000)
})
