import { expect, test, vi } from 'vitest'
import { capabilitiesOf } from './capabilities.js'
import { downloads } from './downloads-line.js'
import { ROOM_MARGIN_BYTES } from './opfs-store.js'
import { pickFile, pickFolder } from './pickers.js'
import { downloadWorld } from './testing/download-world.js'
import { pageDesk } from './testing/page-desk.js'

test('[FT78] a page without anything has memory only', async () => {
  const scope = { isSecureContext: false, crypto: {}, navigator: {} }
  expect(await capabilitiesOf(scope, await pageDesk(), undefined)).toEqual({
    isSecure: false,
    hasSubtle: false,
    hasWorker: false,
    ownStorageBytes: undefined,
    canStream: false,
    canPickFile: false,
    canPickFolder: false,
    canCopy: false,
    canShare: false,
  })
})

test('[FT78] the free room of the own storage is what the browser says, less a margin', async () => {
  const estimate = () => Promise.resolve({ quota: ROOM_MARGIN_BYTES + 100, usage: 40 })
  const scope = {
    isSecureContext: true,
    crypto: { subtle: {} },
    navigator: { storage: { estimate }, clipboard: { writeText: () => {} }, share: () => {} },
    showSaveFilePicker: () => {},
    showDirectoryPicker: () => {},
  }
  const desk = { ...(await pageDesk()), hasFiles: true, isInWorker: true }
  expect(await capabilitiesOf(scope, desk, downloads(downloadWorld().host))).toEqual({
    isSecure: true,
    hasSubtle: true,
    hasWorker: true,
    ownStorageBytes: 60,
    canStream: true,
    canPickFile: true,
    canPickFolder: true,
    canCopy: true,
    canShare: true,
  })
  const withoutFiles = await capabilitiesOf(scope, await pageDesk(), undefined)
  expect(withoutFiles.ownStorageBytes).toBeUndefined()
})

test('[FT74] the dialog is opened at once, as browsers ask for in a click; one that was closed is no error', async () => {
  const closed = new DOMException('closed', 'AbortError')
  const showSaveFilePicker = vi.fn(() => Promise.reject(closed))
  const showDirectoryPicker = vi.fn(() => Promise.reject(closed))
  const picked = [pickFile('a.txt', { showSaveFilePicker }), pickFolder({ showDirectoryPicker })]
  expect(showSaveFilePicker).toHaveBeenCalledWith({ suggestedName: 'a.txt' })
  expect(showDirectoryPicker).toHaveBeenCalledOnce()
  expect(await Promise.all([...picked, pickFile('a', {}), pickFolder({})])).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  const refused = { showSaveFilePicker: () => Promise.reject(new DOMException('no click', 'SecurityError')) }
  await expect(pickFile('a', refused)).rejects.toThrow('no click')
})
