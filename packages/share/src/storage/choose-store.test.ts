import { expect, test } from 'vitest'
import type { Capabilities } from './capabilities.js'
import { chooseStore, MEMORY_BYTES_MAX, storeChoices } from './choose-store.js'

const NOTHING: Capabilities = {
  isSecure: false,
  hasSubtle: false,
  hasWorker: true,
  ownStorageBytes: undefined,
  canStream: false,
  canPickFile: false,
  canPickFolder: false,
  canCopy: false,
  canShare: false,
}
const LIKE_FIREFOX = { ...NOTHING, isSecure: true, ownStorageBytes: 1e9, canStream: true }
const LIKE_CHROMIUM = { ...LIKE_FIREFOX, canPickFile: true, canPickFolder: true }
const file = (size: number, path = 'a.bin') => ({ path, size })
const tree = [file(1, 'a/b.txt'), file(2, 'c.txt')]

test('[FT78] a file that fits goes to the own storage, and survives a reload', () => {
  for (const capabilities of [LIKE_FIREFOX, LIKE_CHROMIUM])
    expect(chooseStore([file(1e9)], capabilities)).toEqual({
      kind: 'own-storage',
      survives: 'reload',
      bytesMax: 1e9,
      fits: true,
      picks: false,
    })
})

test('[FT78] a file that is too large for it goes to a picked file, or becomes a download', () => {
  const large = [file(1e9 + 1)]
  expect(chooseStore(large, LIKE_CHROMIUM)).toMatchObject({ kind: 'picked-file', picks: true, fits: true })
  expect(chooseStore(large, LIKE_FIREFOX)).toMatchObject({
    kind: 'downloads',
    survives: 'connection',
    fits: true,
  })
  expect(chooseStore([...large, file(1)], LIKE_CHROMIUM).kind).toBe('picked-folder')
})

test('[FT78] a tree and many files go to a folder, or into an archive', () => {
  const many = Array.from({ length: 11 }, (_, index) => file(1, `${index}`))
  for (const files of [tree, many]) {
    expect(chooseStore(files, LIKE_CHROMIUM).kind).toBe('picked-folder')
    expect(chooseStore(files, LIKE_FIREFOX).kind).toBe('zip-download')
    expect(chooseStore(files, NOTHING).kind).toBe('memory-zip')
  }
  expect(storeChoices(tree, LIKE_CHROMIUM).map(({ kind }) => kind)).toEqual([
    'picked-folder',
    'zip-download',
    'picked-zip',
    'own-storage',
    'memory-zip',
  ])
})

test('[FT78] on plain http the limit of the memory is known before the first byte', () => {
  expect(chooseStore([file(MEMORY_BYTES_MAX)], NOTHING)).toMatchObject({ kind: 'memory', fits: true })
  expect(chooseStore([file(MEMORY_BYTES_MAX), file(1)], NOTHING)).toEqual({
    kind: 'memory',
    survives: 'connection',
    bytesMax: MEMORY_BYTES_MAX,
    fits: false,
    picks: false,
  })
})
