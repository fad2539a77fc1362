import type { TransferFile } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { FakeHost, FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { fakeWorld } from '../demo/fake-world.js'
import type { Demo } from '../demo/fake-world.js'
import { blob, file } from '../demo/pieces.js'
import type { StoreKind } from '../storage/storage.js'
import { PageModel } from './page-model.js'

const LINK = { query: '?peer_id=someone', hash: '#fragment' }
const whole = [1, 2].map((id) => ({
  file: { id, path: `${id}.txt`, size: 1, type: '' },
  content: new Blob([String(id)]),
}))
const ended = (why: 'stopped' | 'not-found'): FakeSession =>
  new FakeSession({ state: { name: 'ended', why, detail: '' } })

async function opened(demo: Demo): Promise<PageModel> {
  const model = new PageModel(fakeWorld(demo))
  await model.start()
  await model.openSaving()
  return model
}

test.each(['stopped', 'not-found'] as const)(
  'when the session cannot begin (%s), the files that were kept are there, and can be removed',
  async (why) => {
    const session = ended(why)
    const model = await opened({ ...LINK, session, whole })
    const { kept } = model.received
    await expect
      .poll(() => kept.files.map(({ key, path }) => [key, path]))
      .toEqual([
        ['in-1', '1.txt'],
        ['in-2', '2.txt'],
      ])
    model.received.removeKept(session, kept.files.slice(0, 1), model.saving)
    expect(kept.files.map(({ id }) => id)).toEqual([2])
    model.stop()
  },
)

test('while the session lasts, it shows the files itself', async () => {
  const session = new FakeSession()
  const model = await opened({ ...LINK, session, whole })
  session.changed()
  expect(model.received.kept.files).toEqual([])
})

/** Takes one file into this place, and gets all of it. */
function take(model: PageModel, session: FakeSession, kind: StoreKind): void {
  const items = session.transfer.state.items.filter((item) => item.kind === 'file')
  const choice = { kind, survives: 'connection', bytesMax: Infinity, fits: true, picks: false } as const
  const store = { isDurable: false, bytesMax: 1, open: () => Promise.reject(new Error('nothing is stored')) }
  model.accept(session, items, choice, { store })
  session.transfer.items = items.map((item): TransferFile => ({ ...item, state: blob('a') }))
  session.transfer.changed()
}

test.each<[StoreKind, 'guest' | 'host', boolean]>([
  ['memory', 'guest', true],
  ['memory', 'host', true],
  // After a reload, a guest finds them again.
  ['own-storage', 'guest', false],
  // A host does not.
  ['own-storage', 'host', true],
])('whole files of %s hold the tab of a %s open until they are saved: %s', async (kind, role, isHeld) => {
  const session = new FakeSession({ role, transfer: new FakeTransfer([file('a', 1)]) })
  const model = await opened(
    role === 'guest' ? { ...LINK, session } : { host: new FakeHost({ sessions: [session] }) },
  )
  take(model, session, kind)
  expect(model.isNeeded).toBe(isHeld)
  model.received.saved.add(
    session.transfer,
    session.transfer.items.map(({ key }) => key),
  )
  expect(model.isNeeded).toBe(false)
  model.stop()
})
