import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BLOCK_BYTES, SourceError } from '../types.js'
import { fileSources } from './file-sources.js'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'sources-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(path: string, content: string | Uint8Array = path): string {
  const file = join(folder, path)
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, content)
  return file
}

async function only(path: string) {
  const { sources } = await fileSources([path])
  const [source] = sources
  if (source === undefined) throw new Error('no file was found')
  return source
}

test('[FT83] files and folders are offered by their paths, and read in blocks', async () => {
  const bytes = randomBytes(BLOCK_BYTES + 10)
  write('photos/2026/cat.jpg', bytes)
  write('photos/b.txt')
  write('photos/a/z')
  mkdirSync(join(folder, 'photos/empty'))
  const single = write('notes.md', '')
  utimesSync(single, 1_700_000_000, 1_700_000_000)
  const { sources, skipped } = await fileSources([join(folder, 'photos'), single])
  expect(skipped).toEqual([])
  expect(sources.map(({ info }) => info.path)).toEqual([
    'photos/2026/cat.jpg',
    'photos/a/z',
    'photos/b.txt',
    'notes.md',
  ])
  expect(sources[3]?.info).toEqual({
    path: 'notes.md',
    size: 0,
    type: 'text/markdown',
    modifiedAt: 1_700_000_000_000,
  })
  expect(sources[0]?.info).toMatchObject({ size: BLOCK_BYTES + 10, type: 'image/jpeg' })
  const blocks = await Promise.all([0, 1].map((index) => sources[0]?.readBlock(index)))
  expect(Buffer.concat(blocks.map((block) => block?.bytes ?? new Uint8Array())).equals(bytes)).toBe(true)
  expect(blocks[1]?.hash).toEqual(
    new Uint8Array(createHash('sha256').update(bytes.subarray(BLOCK_BYTES)).digest()),
  )
  await expect(sources[0]?.readBlock(2)).rejects.toThrow('has no block 2')
})

test.each<[string, (file: string) => void]>([
  ['longer', (file) => appendFileSync(file, 'more')],
  ['shorter', (file) => truncateSync(file, 2)],
  ['touched', (file) => utimesSync(file, 1, 1)],
  ['replaced', (file) => renameSync(write('other', 'content'), file)],
])('[FT83] a file that is %s than when it was offered ends as changed', async (_, change) => {
  const file = write('file', 'content')
  const source = await only(file)
  change(file)
  await expect(source.readBlock(0)).rejects.toMatchObject({ name: 'SourceError', reason: 'changed' })
})

test.each<[string, (file: string) => void]>([
  ['vanished', (file) => rmSync(file)],
  ['became a symbolic link', (file) => (renameSync(file, `${file}-2`), symlinkSync(`${file}-2`, file))],
])('[FT83] a file that %s cannot be read', async (_, change) => {
  const file = write('file', 'content')
  const source = await only(file)
  change(file)
  await expect(source.readBlock(0)).rejects.toMatchObject({
    reason: 'unreadable',
    message: expect.stringContaining('file '),
  })
})

test('[FT83] a symbolic link is not followed out of its folder, and not into a circle', async () => {
  write('secret/key')
  write('shared/real.txt')
  mkdirSync(join(folder, 'shared/sub'))
  for (const [target, name] of [
    ['../secret/key', 'out'],
    ['../secret', 'out-folder'],
    ['.', 'circle'],
    ['..', 'up'],
    ['loop', 'loop'],
    ['nowhere', 'broken'],
    ['real.txt', 'alias.txt'],
    ['../real.txt', 'sub/alias'],
  ] as const)
    symlinkSync(target, join(folder, 'shared', name))
  const { sources, skipped } = await fileSources([join(folder, 'shared')])
  expect(sources.map(({ info }) => info.path)).toEqual([
    'shared/alias.txt',
    'shared/real.txt',
    'shared/sub/alias',
  ])
  expect(skipped.map(({ path }) => path.slice(folder.length + 8)).sort()).toEqual([
    'broken',
    'circle',
    'loop',
    'out',
    'out-folder',
    'up',
  ])
  // The person has named this link.
  symlinkSync(join(folder, 'shared'), join(folder, 'named'))
  expect((await fileSources([join(folder, 'named')])).sources[1]?.info.path).toBe('named/real.txt')
  const alias = await only(join(folder, 'shared/alias.txt'))
  expect(alias.info.path).toBe('alias.txt')
  expect(Buffer.from((await alias.readBlock(0)).bytes).toString()).toBe('shared/real.txt')
})

test('[FT83] devices, pipes and sockets are skipped, with the reason', async () => {
  execFileSync('sh', ['-c', 'mkfifo "$0"', join(folder, 'pipe')])
  const server = createServer().listen(join(folder, 'socket'))
  await new Promise((resolve) => server.once('listening', resolve))
  write('file')
  const { sources, skipped } = await fileSources([folder, '/dev/null'])
  await new Promise((resolve) => server.close(resolve))
  expect(sources).toHaveLength(1)
  expect(skipped.map(({ why }) => why)).toEqual(['it is a pipe', 'it is a socket', 'it is a device'])
})

test('[FT83] a path that does not exist is an error that names it', async () => {
  const missing = join(folder, 'missing')
  await expect(fileSources([missing])).rejects.toThrow(
    new SourceError('unreadable', `${missing} does not exist, or was removed`),
  )
})

test('[FT83] at most 10,000 files are offered', async () => {
  mkdirSync(join(folder, 'many'))
  for (let i = 0; i <= 10_000; i++) writeFileSync(join(folder, 'many', String(i)), '')
  await expect(fileSources([folder])).rejects.toThrow('more than 10,000 files: pack them into one')
  rmSync(join(folder, 'many/0'))
  expect((await fileSources([folder])).sources).toHaveLength(10_000)
}, 60_000)

test.skipIf(process.platform !== 'linux')(
  '[FT83] few files are open at once, and none afterwards',
  async () => {
    const openFiles = (): number => readdirSync('/proc/self/fd').length
    for (let i = 0; i < 100; i++) write(`file-${i}`)
    const { sources } = await fileSources([folder])
    const before = openFiles()
    let most = 0
    await Promise.all(
      sources.map(async (source) => {
        await source.readBlock(0)
        most = Math.max(most, openFiles())
      }),
    )
    expect(most - before).toBeLessThanOrEqual(10)
    expect(openFiles()).toBeLessThanOrEqual(before)
  },
)
