import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Admission, ClaimOutcome, ClaimRequest, OnlineSession } from '@peerage/core'
import { RecordedConnection, peerNamed } from '@peerage/test-support/testing/core.js'
import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { describe, expect, test, vi } from 'vitest'
import { appsOf } from '../../testing/apps.js'
import { appOf } from '../../testing/peerjs-fixture.js'
import { unlimited } from '../../testing/unlimited.js'
import { AppBudgets } from '../../apps/budgets.js'
import { configSchema, type ConfigInput } from '../../config/schema.js'
import type { AccessDecision, Allowed } from './access.js'
import type { Applicant, Claimed, ClaimerOptions, ClaimingConnection, EnteredAnonymously } from './claimer.js'
import { Claimer } from './claimer.js'
import { Limits } from './limits.js'

const ADDRESS = '192.0.2.1'
const admitted: AccessDecision = { ok: true, app: appOf('default') }
/** A node that lets nobody in without a name. */
const admitsNobody = (): Admission => ({ ok: false, code: 'draining' })
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
      admit: admitsNobody,
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
  const enter = (of: Applicant): Promise<EnteredAnonymously | undefined> =>
    claims.enterAnonymous(connection, of)
  return { asked, connection, claim, enter, budgets, clock, refusals, apps }
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
    { peer: peerNamed('bob'), secret: 'secret', policy: 'replace', holder: { identity: 'somebody' } },
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

describe('which app a peer gets', () => {
  const [chat, games] = [appOf('chat'), appOf('games')]
  const settings: ConfigInput = {
    defaultApp: 'chat',
    apps: {
      chat: { origins: ['https://chat.example'] },
      games: { taken: 'refuse', limits: { app: { connections: 1, connectsPerSecond: 2 } } },
    },
  }
  const inApp = (app: ReturnType<typeof appOf> | undefined, more: Partial<Applicant> = {}): Applicant =>
    applicant('bob', { ok: true, app: app ?? chat, identity: 'x' }, { app, ...more })

  test('an app that is not served is refused before the access rules are asked', async () => {
    const { claim, refusals, asked } = claimer(settings)
    const admit = vi.fn()
    expect(await claim(inApp(appOf('other'), { admit }))).toMatchObject({
      ok: false,
      code: 'forbidden',
      detail: 'this app is not served here',
    })
    expect([admit.mock.calls.length, asked.length, refusals]).toEqual([0, 0, ['other forbidden']])
  })

  test('[ASVS 4.4.2] a page of an origin that another app lists is refused', async () => {
    const { claim, asked } = claimer(settings)
    const admit = vi.fn()
    for (const origin of ['https://games.example', 'null', 'https://chat.example.evil'])
      expect(await claim(inApp(chat, { origin, admit }))).toMatchObject({
        code: 'forbidden',
        detail: 'this origin may not connect',
      })
    expect([admit.mock.calls.length, asked.length]).toEqual([0, 0])
    await claim(inApp(chat, { origin: 'https://chat.example' }))
    expect(asked).toHaveLength(1)
  })

  test('an application’s own rules choose the app, which must be served and allow the origin', async () => {
    const access = { admit: () => Promise.resolve(admitted) }
    const { claim, asked } = claimer(settings, { access })
    const choosing = (app: ReturnType<typeof appOf>, origin?: string): Applicant =>
      applicant('bob', { ok: true, app }, { app: appOf('nobody'), origin })
    expect(await claim(choosing(games))).toMatchObject({ code: 'name-taken' })
    expect(await claim(choosing(chat, 'https://evil.example'))).toMatchObject({ code: 'forbidden' })
    expect(await claim(choosing(appOf('other')))).toMatchObject({ code: 'forbidden' })
    expect(asked).toEqual([{ peer: 'games/bob', secret: 'secret', policy: 'refuse' }])
  })

  test('the rules choose the name of a peer that asked for none, and of no other', async () => {
    const { claim, asked } = claimer()
    const answer: AccessDecision = { ok: true, app: appOf('default'), name: nameOf('chosen') }
    await claim(applicant('made', answer, { isNameMade: true }))
    await claim(applicant('wanted', answer))
    expect(asked.map(({ peer }) => peer)).toEqual(['default/chosen', 'default/wanted'])
  })

  test('an app has its own budget of connections and of tries on a node', async () => {
    const { claim, clock, budgets, refusals } = claimer(settings, {
      node: { claim: () => new Promise(() => {}), admit: admitsNobody },
    })
    const first = inApp(games)
    void claim(first)
    await vi.waitFor(() => expect(budgets.of(games)?.connections).toBe(1))
    expect(await claim(inApp(games))).toMatchObject({ code: 'overloaded', retryAfterMs: 5_000, waitMs: 0 })
    for (let i = 0; i < 2; i++) await claim(inApp(games))
    const admit = vi.fn()
    const over = await claim(inApp(games, { admit }))
    expect(over).toMatchObject({ code: 'overloaded', retryAfterMs: 500 })
    expect(admit).not.toHaveBeenCalled()
    expect(refusals).toEqual(Array.from({ length: 4 }, () => 'games overloaded'))
    await clock.advance(1_000)
    void claim(inApp(chat))
    await vi.waitFor(() => expect(budgets.of(chat)?.connections).toBe(1))
  })

  test('a claim that fails gives its place back', async () => {
    const { claim, budgets, connection } = claimer(settings)
    await claim(inApp(games))
    expect([budgets.of(games)?.connections, connection.app]).toEqual([0, undefined])
  })

  test('the peer is told what the application wrote, and the log is not', async () => {
    const logged: unknown[] = []
    const { claim } = claimer({}, { onRefused: ({ code, detail }) => logged.push([code, detail]) })
    const foreign: AccessDecision = { ...refused, detail: 'bob is not on the list', isForeignText: true }
    expect(await claim(applicant('bob', foreign))).toMatchObject({ detail: 'bob is not on the list' })
    await claim(applicant('bob', refused))
    expect(logged).toEqual([
      ['forbidden', undefined],
      ['forbidden', 'no'],
    ])
  })

  test('[WH13] rules that cannot be asked count as no failure of the peer', async () => {
    const { claim } = claimer({ limits: { name: { failuresPerMinute: 1 } } })
    for (const code of ['access-unavailable', 'overloaded'] as const) {
      const down: AccessDecision = { ok: false, code, detail: 'down', retryAfterMs: 9 }
      for (let i = 0; i < 5; i++) expect(await claim(applicant('bob', down))).toEqual({ ...down, waitMs: 0 })
    }
  })

  test('the peer of an app that a reload removes during the claim is closed', async () => {
    const { claim, budgets, connection, apps } = claimer(settings, {
      node: {
        claim: () => {
          apps.replace(configSchema.parse({ apps: { chat: {} }, defaultApp: 'chat' }))
          budgets.refresh()
          return Promise.resolve({ ok: true, session: {} as OnlineSession, reclaimed: false })
        },
        admit: admitsNobody,
      },
    })
    await claim(inApp(games))
    expect(connection.closed).toBe('refused')
  })
})

describe('a peer without a name', () => {
  const games = appOf('games')
  const settings: ConfigInput = {
    defaultApp: 'games',
    apps: { games: { api: { keys: ['a-key-of-the-api-of-24-chars'] }, limits: { app: { connections: 1 } } } },
  }
  const allowed: AccessDecision = { ok: true, app: games, identity: 'ann', tokenId: 'jti', issuedAt: 5 }
  const claim = (): Promise<ClaimOutcome> => Promise.reject(new Error('no name is claimed'))
  const lets = (taken: Parameters<ClaimerOptions['node']['admit']>[]): ClaimerOptions['node'] => ({
    claim,
    admit: (...given) => {
      taken.push(given)
      const [connection, app] = given
      return { ok: true, session: { state: 'anonymous', connection, app } }
    },
  })

  test('[UW2] comes in with its app and with what the rules know of it, and counts for the app', async () => {
    const taken: Parameters<ClaimerOptions['node']['admit']>[] = []
    const { enter, connection, budgets, asked } = claimer(settings, { node: lets(taken) })
    expect(await enter(applicant('made', allowed))).toMatchObject({ ok: true, session: { app: 'games' } })
    expect(taken).toEqual([[connection, 'games', { identity: 'ann', tokenId: 'jti', issuedAt: 5 }]])
    expect([budgets.of(games)?.connections, connection.app?.app, asked.length]).toEqual([1, 'games', 0])
    expect(await enter(applicant('made', allowed))).toMatchObject({ code: 'overloaded', retryAfterMs: 5_000 })
  })

  test('[UW4] gives its place in the app back if the node does not take it', async () => {
    const { enter, connection, budgets } = claimer(settings)
    expect(await enter(applicant('made', allowed))).toEqual({ ok: false, code: 'draining', waitMs: 0 })
    expect([budgets.of(games)?.connections, connection.app]).toEqual([0, undefined])
  })

  test('[UW4] waits while the node is cut off from the store, and comes in when that is back', async () => {
    let isCutOff = true
    const taken: Parameters<ClaimerOptions['node']['admit']>[] = []
    const { enter, clock, budgets } = claimer(settings, {
      node: {
        claim,
        admit: (...given) =>
          isCutOff ? { ok: false, code: 'registry-unavailable' } : lets(taken).admit(...given),
      },
    })
    const entering = enter(applicant('made', allowed))
    await clock.advance(3_000)
    expect(budgets.of(games)?.connections).toBe(1)
    isCutOff = false
    await clock.advance(1_000)
    expect(await entering).toMatchObject({ ok: true, session: { app: 'games' } })
    expect(taken).toHaveLength(1)
  })

  test('[UW4] waits five seconds, and then gives its place in the app back', async () => {
    const { enter, clock, budgets } = claimer(settings, {
      node: { claim, admit: () => ({ ok: false, code: 'registry-unavailable' }) },
    })
    const entering = enter(applicant('made', allowed))
    await clock.advance(4_900)
    expect(budgets.of(games)?.connections).toBe(1)
    await clock.advance(100)
    expect(await entering).toEqual({ ok: false, code: 'registry-unavailable', waitMs: 0 })
    expect(budgets.of(games)?.connections).toBe(0)
  })

  test('[UW4] that goes while it waits for the store is not tried again', async () => {
    let tries = 0
    const { enter, clock, connection } = claimer(settings, {
      node: {
        claim,
        admit: () => {
          tries++
          return { ok: false, code: 'registry-unavailable' }
        },
      },
    })
    const entering = enter(applicant('made', allowed))
    await clock.advance(1_000)
    connection.close('slow-consumer')
    await clock.advance(5_000)
    expect(await entering).toBeUndefined()
    expect(tries).toBe(2)
  })

  test('[UW4] is refused if its identity is banned', async () => {
    const taken: Parameters<ClaimerOptions['node']['admit']>[] = []
    const { enter } = claimer(settings, {
      node: lets(taken),
      revocations: {
        check: (_, { identity }) =>
          Promise.resolve(
            identity === 'ann' ? { ok: false, code: 'banned', detail: 'until noon' } : { ok: true },
          ),
      },
    })
    expect(await enter(applicant('made', allowed))).toMatchObject({ code: 'banned', detail: 'until noon' })
    expect(taken).toEqual([])
    expect(await enter(applicant('made', { ok: true, app: games, identity: 'bob' }))).toMatchObject({
      ok: true,
    })
  })

  test('[UW4] is closed if a reload removes its app meanwhile', async () => {
    const { enter, budgets, connection, apps } = claimer(settings, {
      node: {
        claim,
        admit: (who, app) => {
          apps.replace(configSchema.parse({ apps: { chat: {} }, defaultApp: 'chat' }))
          budgets.refresh()
          return { ok: true, session: { state: 'anonymous', connection: who, app } }
        },
      },
    })
    await enter(applicant('made', allowed))
    expect(connection.closed).toBe('refused')
  })

  test('that goes while the access rules are asked does not come in', async () => {
    const taken: Parameters<ClaimerOptions['node']['admit']>[] = []
    const { enter, connection } = claimer(settings, { node: lets(taken) })
    const answer = enter(applicant('made', allowed))
    connection.close('left')
    expect(await answer).toBeUndefined()
    expect(taken).toEqual([])
  })
})
