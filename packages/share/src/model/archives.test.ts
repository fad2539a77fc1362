import type { Received } from '@peerage/client/transfer'
import { expect, test, vi } from 'vitest'
import { FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { complete, failed, file, moving } from '../demo/pieces.js'
import { Archives } from './archives.js'

const content = new Blob(['zip'])

test.each<[string, 'zip-download' | 'picked-zip' | 'memory-zip', () => Promise<Received>, object]>([
  [
    'is among the downloads',
    'zip-download',
    async () => ({ kind: 'saved', where: 'files.zip' }),
    { name: 'saved', where: 'files.zip', isDownload: true },
  ],
  [
    'is where the person chose',
    'picked-zip',
    async () => ({ kind: 'saved', where: 'mine.zip' }),
    { name: 'saved', where: 'mine.zip', isDownload: false },
  ],
  [
    'is to be saved from memory',
    'memory-zip',
    async () => ({ kind: 'blob', blob: content }),
    { name: 'save', content },
  ],
  ['has failed', 'zip-download', () => Promise.reject(new Error('the disk is full')), { name: 'failed' }],
])(
  'an archive ends when all of its files have ended, and the page says that it %s',
  async (_what, kind, end, said) => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const archives = new Archives()
    const transfer = new FakeTransfer([
      file('a', 1, moving),
      file('b', 1, complete),
      file('other', 1, moving),
    ])
    const session = new FakeSession({ transfer })
    archives.watch(session, ['in a', 'in b'], kind, end)
    transfer.changed()
    expect(archives.of(session)).toEqual([])
    const added = new Promise<void>((resolve) => void archives.onChange(resolve))
    transfer.items = [
      file('a', 1, failed('cancelled-here')),
      file('b', 1, complete),
      file('other', 1, moving),
    ]
    transfer.changed()
    await added
    expect(archives.of(session)).toMatchObject([{ end: said }])
    warn.mockRestore()
  },
)
