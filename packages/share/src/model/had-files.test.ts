import type { Received, TransferFile } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { FakeHost, FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { fakeWorld } from '../demo/fake-world.js'
import { blob, complete, file, saved } from '../demo/pieces.js'
import type { StoreKind } from '../storage/storage.js'
import { hasAll } from './guest-cards.js'
import { PageModel } from './page-model.js'
import type { OpenedStore } from './world.js'

const LINK = { query: '?peer_id=someone', hash: '#fragment' }
const store = { isDurable: false, bytesMax: 1, open: () => Promise.reject(new Error('nothing is stored')) }

/** A page of a guest that loads again with the same memory, and is offered the same files. */
async function reloading(paths: readonly string[]) {
  const world = fakeWorld(LINK)
  const connection = await world.connect(AbortSignal.timeout(1_000))
  const load = async () => {
    const session = new FakeSession({ transfer: new FakeTransfer(paths.map((path) => file(path, 10))) })
    const join = (): Promise<FakeSession> => Promise.resolve(session)
    const model = new PageModel({ ...world, connect: () => Promise.resolve({ ...connection, join }) })
    await model.start()
    const files = (): TransferFile[] => session.transfer.items.filter((item) => item.kind === 'file')
    const had = (): unknown[] => files().map((item) => model.received.hadIn(session, item))
    return { model, session, files, had }
  }
  return load
}

type Page = Awaited<ReturnType<Awaited<ReturnType<typeof reloading>>>>

/** Accepts all files into one place. */
function accept({ model, session, files }: Page, kind: StoreKind, opened: OpenedStore = { store }): void {
  const choice = { kind, survives: 'connection', bytesMax: Infinity, fits: true, picks: false } as const
  model.accept(session, files(), choice, opened)
}

/** The file comes to this end. */
function end({ session, files }: Page, path: string, state: TransferFile['state']): void {
  session.transfer.items = files().map((item) => (item.path === path ? { ...item, state } : item))
  session.transfer.changed()
}

test('after a reload, a guest knows which files it has, and in which folder', async () => {
  const load = await reloading(['a', 'bb'])
  const page = await load()
  accept(page, 'picked-folder')
  end(page, 'a', saved('holiday'))
  const had = { kind: 'picked-folder', where: 'holiday' }
  expect((await load()).had()).toEqual([had, undefined])
})

test('a file in a zip is there when the zip is', async () => {
  const load = await reloading(['a', 'bb'])
  const page = await load()
  let endArchive = (_received: Received): void => {}
  const ending = new Promise<Received>((resolve) => (endArchive = resolve))
  accept(page, 'zip-download', { store, endArchive: () => ending })
  end(page, 'a', saved('files.zip'))
  end(page, 'bb', saved('files.zip'))
  expect((await load()).had()).toEqual([undefined, undefined])
  endArchive({ kind: 'saved', where: 'files.zip' })
  const had = { kind: 'zip-download', where: 'files.zip' }
  await expect.poll(async () => (await load()).had()).toEqual([had, had])
})

test('a file in memory is there when the person has saved it', async () => {
  const load = await reloading(['a'])
  const page = await load()
  accept(page, 'memory')
  end(page, 'a', blob('a'))
  expect((await load()).had()).toEqual([undefined])
  page.model.received.saved.add(page.session.transfer, ['in a'])
  expect((await load()).had()).toEqual([{ kind: 'downloads', where: '' }])
})

test("what the person has saved from the browser's storage is still marked so when a reload goes on with it", async () => {
  const load = await reloading(['a', 'bb'])
  const page = await load()
  accept(page, 'own-storage')
  end(page, 'a', blob('a'))
  end(page, 'bb', blob('bb'))
  page.model.received.saved.add(page.session.transfer, ['in a'])
  const after = await load()
  end(after, 'a', blob('a'))
  end(after, 'bb', blob('bb'))
  const { saved } = after.model.received
  expect(['in a', 'in bb'].map((key) => saved.has(after.session.transfer, key))).toEqual([true, false])
})

test('a host still knows what a guest has had before it loaded its page again', async () => {
  const guest = (state: TransferFile['state']): FakeSession =>
    new FakeSession({
      role: 'host',
      name: 'guest',
      transfer: new FakeTransfer([file('a', 10, state, 'out'), file('bb', 10, { name: 'offered' }, 'out')]),
    })
  const host = new FakeHost({ sessions: [guest(complete)] })
  const model = new PageModel(fakeWorld({ host }))
  await model.start()
  const again = guest({ name: 'offered' })
  host.sessions = [again]
  host.changed()
  const { delivered } = model.own
  expect(again.transfer.items.map((item) => delivered.shown(again, item))).toMatchObject([
    { state: { name: 'complete' } },
    { state: { name: 'offered' } },
  ])
  expect(delivered.count(again)).toBe(1)
  expect(hasAll(again, (item) => delivered.has(again, item))).toBe(false)
  again.transfer.reject(['out bb'])
  expect(hasAll(again, (item) => delivered.has(again, item))).toBe(true)
  // It wants the file again.
  again.transfer.accept(['out a'])
  expect(delivered.count(again)).toBe(0)
  model.stop()
})
