import { afterEach, describe, expect, test, vi } from 'vitest'
import { FakeHost, FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { fakeWorld } from '../demo/fake-world.js'
import type { Demo } from '../demo/fake-world.js'
import { PageModel } from './page-model.js'
import { ConnectionFailure } from './world.js'

const LINK = { query: '?peer_id=someone', hash: '#fragment' }

async function started(demo: Demo): Promise<PageModel> {
  const model = new PageModel(fakeWorld(demo))
  await model.start()
  return model
}

describe('what the address opens', () => {
  test.each<[string, Demo, object]>([
    ['no name: a share', {}, { name: 'host', notice: undefined }],
    ['an empty name: a share', { query: '?peer_id=' }, { name: 'host', notice: 'emptyName' }],
    ['the own name: a share', { query: '?peer_id=f2h8-own' }, { name: 'host', notice: 'ownLink' }],
    ['a link', LINK, { name: 'guest', to: { name: 'someone', fragment: 'fragment' } }],
    ['a link with a password', { ...LINK, reading: 'needs-password' }, { name: 'password', isWrong: false }],
    ['an absurd name', { ...LINK, reading: 'bad-name' }, { name: 'problem', problem: 'badName' }],
    ['no fragment', { ...LINK, reading: 'missing' }, { name: 'problem', problem: 'missingFragment' }],
    ['a cut fragment', { ...LINK, reading: 'cut' }, { name: 'problem', problem: 'cutFragment' }],
    ['a fragment with more', { ...LINK, reading: 'extra' }, { name: 'problem', problem: 'extraFragment' }],
    ['another version', { ...LINK, reading: 'other-version' }, { name: 'problem', problem: 'otherVersion' }],
    ['no way at all', { direct: 'off', isServerWay: false }, { name: 'problem', problem: 'noWayAtAll' }],
  ])('%s', async (_what, demo, screen) => {
    expect((await started(demo)).screen).toMatchObject(screen)
  })

  test.each(['unreachable', 'refused', 'not-loaded'] as const)(
    'a server that is %s is a problem',
    async (why) => {
      const model = await started({ connect: () => Promise.reject(new ConnectionFailure(why)) })
      expect(model.screen).toMatchObject({
        name: 'problem',
        problem: why === 'not-loaded' ? 'notLoaded' : why,
      })
    },
  )
})

test('a wrong password is asked again, and the tries left are known', async () => {
  const session = new FakeSession({
    state: { name: 'ended', why: 'wrong-password', detail: '' },
    passwordTriesLeft: 7,
  })
  const model = await started({ ...LINK, session, reading: 'needs-password' })
  await model.join({ name: 'someone', fragment: 'fragment' }, 'a guess')
  session.changed()
  expect(model.screen).toMatchObject({ name: 'password', isWrong: true, triesLeft: 7 })
})

test('a link that is older than the password of its share asks plainly for the password', async () => {
  const session = new FakeSession({ state: { name: 'ended', why: 'wrong-password', detail: '' } })
  const model = await started({ ...LINK, session })
  session.changed()
  expect(model.screen).toMatchObject({ name: 'password', isWrong: false })
})

describe('a link that finds nobody', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  const nobody = (): FakeSession =>
    new FakeSession({ state: { name: 'ended', why: 'not-found', detail: '' } })

  /** A page whose tries end in these sessions, and then always in nobody. */
  async function searching(...sessions: FakeSession[]) {
    vi.useFakeTimers()
    const world = fakeWorld(LINK)
    const connection = await world.connect(AbortSignal.timeout(1_000))
    let tries = 0
    const join = async (): Promise<FakeSession> => {
      const session = sessions[tries++] ?? nobody()
      setTimeout(() => session.changed(), 1)
      return session
    }
    const model = new PageModel({ ...world, connect: () => Promise.resolve({ ...connection, join }) })
    await model.start()
    return { model, tries: () => tries }
  }

  test('is tried again by itself, and opens as soon as somebody is there', async () => {
    const open = new FakeSession()
    const { model, tries } = await searching(nobody(), nobody(), open)
    await vi.advanceTimersByTimeAsync(1)
    expect(model.isSearching).toBe(true)
    await vi.advanceTimersByTimeAsync(30_000)
    expect([tries(), model.isSearching]).toEqual([3, false])
    expect(model.screen).toMatchObject({ name: 'guest', session: open })
  })

  test('stays on the screen meanwhile, and is given up after some minutes', async () => {
    const { model, tries } = await searching()
    await vi.advanceTimersByTimeAsync(1)
    const shown: string[] = []
    model.onChange(() => {
      if (model.screen.name === 'guest') shown.push(model.screen.session.state.name)
    })
    await vi.advanceTimersByTimeAsync(30_000)
    expect(tries()).toBeGreaterThan(10)
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect([tries(), model.isSearching]).toEqual([56, false])
    expect(new Set(shown)).toEqual(new Set(['ended']))
  })
})

describe('the guest of a code', () => {
  const link = { name: 'host', fragment: 'own' }

  async function entered(session: FakeSession) {
    const world = fakeWorld({ session })
    const model = new PageModel(world)
    await model.start()
    await model.join('17-crane-otter-tulip')
    session.link = link
    session.changed()
    const reload = async (): Promise<PageModel> => {
      const reloaded = new PageModel(world)
      await reloaded.start()
      return reloaded
    }
    return { model, reload }
  }

  test('is a guest again after a reload, by its own link', async () => {
    const { reload } = await entered(new FakeSession())
    expect((await reload()).screen).toMatchObject({ name: 'guest', to: link })
  })

  test('shares files of its own after it has chosen so, or when the share is over', async () => {
    const { model, reload } = await entered(new FakeSession())
    model.startOwn()
    expect((await reload()).screen).toMatchObject({ name: 'host' })

    const session = new FakeSession()
    const second = await entered(session)
    session.state = { name: 'ended', why: 'stopped', detail: '' }
    session.changed()
    expect((await second.reload()).screen).toMatchObject({ name: 'host' })
  })
})

test('each guest gets the texts for everyone once, also after it was away', async () => {
  const transfer = new FakeTransfer()
  const guest = new FakeSession({ role: 'host', name: 'guest', transfer, state: { name: 'connecting' } })
  const host = new FakeHost({ sessions: [guest] })
  const model = await started({ host })
  model.own.addText('hello')
  for (const state of ['open', 'reconnecting', 'open'] as const) {
    guest.state =
      state === 'open' ? { name: state, path: 'direct', sameLan: false } : { name: state, isPeerAway: true }
    host.changed()
  }
  expect(transfer.items).toMatchObject([{ kind: 'text', text: 'hello' }])
  model.stop()
})

test('only files that still move hold the tab open', async () => {
  const file = { kind: 'file', id: 1, path: 'a', size: 10, type: '', direction: 'in', bytesDone: 5 } as const
  const transfer = new FakeTransfer([{ ...file, key: 'a', state: { name: 'accepted', isMoving: true } }])
  const model = await started({ ...LINK, session: new FakeSession({ transfer }) })
  expect(model.isNeeded).toBe(true)
  transfer.cancel(['a'])
  expect(model.isNeeded).toBe(false)
})

test('after a reload, what was accepted into the durable storage is accepted again, unless it was cancelled', async () => {
  const offered = (key: string) =>
    ({
      kind: 'file',
      key,
      id: 1,
      path: key,
      size: 10,
      type: '',
      direction: 'in',
      bytesDone: 0,
      state: { name: 'offered' },
    }) as const
  const world = fakeWorld({
    ...LINK,
    session: new FakeSession({ transfer: new FakeTransfer([offered('a'), offered('b')]) }),
  })
  const model = new PageModel(world)
  await model.start()
  if (model.screen.name !== 'guest') throw new Error('the page is no guest')
  const { session } = model.screen
  const files = session.transfer.state.items.filter((item) => item.kind === 'file')
  const saving = await model.openSaving()
  const [choice] = saving?.choices(files) ?? []
  const opened = choice && (await saving?.open(choice, files))
  if (saving === undefined || choice === undefined || opened === undefined)
    throw new Error('the demo has no storage')
  model.accept(session, files, choice, opened)
  session.transfer.cancel(['b'])

  const after = new FakeTransfer([offered('a'), offered('b')])
  const connection = await world.connect(AbortSignal.timeout(1_000))
  const reloaded = new PageModel({
    ...world,
    connect: () =>
      Promise.resolve({
        ...connection,
        openSaving: async () => ({ ...saving, durable: opened.store }),
        join: async () => new FakeSession({ transfer: after }),
      }),
  })
  await reloaded.start()
  await reloaded.openSaving()
  expect(after.items.map(({ key, ...item }) => [key, item.kind === 'file' && item.state.name])).toEqual([
    ['a', 'accepted'],
    ['b', 'offered'],
  ])
})
