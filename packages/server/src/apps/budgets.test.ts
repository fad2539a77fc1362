import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { appsOf } from '../testing/apps.js'
import { appOf } from '../testing/peerjs-fixture.js'
import { AppBudgets, type AppUse } from './budgets.js'

const chat = appOf('chat')

function budgetsOf(settings: ConfigInput) {
  const clock = new FakeClock()
  const counted: string[] = []
  const apps = appsOf(settings, clock)
  const metrics = { appRouted: (label: string, isOk: boolean) => counted.push(`${label} ${isOk}`) }
  const budgets = new AppBudgets(apps, clock, metrics)
  apps.onReplaced(() => budgets.refresh())
  const use = (app = chat): AppUse => {
    const found = budgets.of(app)
    if (found === undefined) throw new Error(`${app} is not served`)
    return found
  }
  return {
    clock,
    counted,
    budgets,
    use,
    replace: (next: ConfigInput) => apps.replace(configSchema.parse(next)),
  }
}

const limited = (app: object): ConfigInput => ({
  defaultApp: 'chat',
  apps: { chat: { limits: { app } }, games: {} },
})

test('the connections of an app share one budget, and those of another app have their own', () => {
  const { clock, counted, use } = budgetsOf(limited({ messagesPerSecond: 2, connections: 1 }))
  const now = clock.monotonic()
  expect(use()).toBe(use())
  expect([1, 2, 3, 4, 5].map(() => use().messages.take(1, now) === 0)).toEqual([
    true,
    true,
    true,
    true,
    false,
  ])
  expect(use(appOf('games')).messages.take(1, now)).toBe(0)
  expect([use().enter(), use().enter()]).toEqual([0, 5_000])
  use().left()
  expect(use().enter()).toBe(0)
  use().count(true)
  expect(counted).toEqual(['chat true'])
})

test('a reload changes the budget of an app in use, and what was used stays used', () => {
  const { clock, use, replace } = budgetsOf(limited({ messagesPerSecond: 1, connections: 5 }))
  const before = use()
  for (let i = 0; i < 3; i++) before.enter()
  for (let i = 0; i < 2; i++) before.messages.take(1, clock.monotonic())
  replace(limited({ messagesPerSecond: 10, connections: 3 }))
  expect(use()).toBe(before)
  expect(before.enter()).toBe(5_000)
  expect(before.messages.take(1, clock.monotonic())).toBe(100)
})

test('an app that a reload removes stays counted until its last connection ends, and may come back', () => {
  const { budgets, use, replace } = budgetsOf(limited({}))
  const before = use()
  before.enter()
  replace({ apps: { games: {} }, defaultApp: 'games' })
  expect([budgets.of(chat), before.isServed, before.policy.app]).toEqual([undefined, false, 'chat'])
  replace(limited({}))
  expect([use(), before.isServed, before.connections]).toEqual([before, true, 1])
})

test('apps that peers make up are forgotten again, except for those that are in use', () => {
  const { budgets, use } = budgetsOf({})
  const inUse = use(appOf('in-use'))
  inUse.enter()
  const idle = use(appOf('idle'))
  for (let i = 0; i < 1_100; i++) budgets.of(appOf(`made-up-${i}`))
  expect(use(appOf('in-use'))).toBe(inUse)
  expect(use(appOf('idle'))).not.toBe(idle)
})
