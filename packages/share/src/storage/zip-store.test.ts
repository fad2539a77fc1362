import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { memorySink } from './sinks.js'
import type { Sink } from './sink.js'
import { pageDesk } from './testing/page-desk.js'
import { zipStore, type ZipStore } from './zip-store.js'
import { ZipWriter } from './zip-writer.js'

const run = promisify(execFile)
const PYTHON = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
  print(z.testzip(), *[(i.filename, i.file_size, i.date_time[0]) for i in z.infolist()], sep='\\n')`

const blockOf = (text: string) => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, hash: Uint8Array.from(createHash('sha256').update(bytes).digest()) }
}
const fileOf = (path: string, size: number, id = 1) => ({
  id,
  path,
  size,
  type: '',
  modifiedAt: Date.UTC(2026, 5),
})

async function storeOf(count: number, sink: Sink = memorySink('application/zip', 1e6)): Promise<ZipStore> {
  return zipStore(await pageDesk(), { openSink: () => Promise.resolve(sink), count, now: () => 0 })
}

/** What Python says about an archive, line by line. */
async function readByPython(store: ZipStore): Promise<string[]> {
  const received = await store.end()
  if (received.kind !== 'blob') throw new Error('not in memory')
  const directory = await mkdtemp(join(tmpdir(), 'peerage-zip-'))
  try {
    const path = join(directory, 'test.zip')
    await writeFile(path, Buffer.from(await received.blob.arrayBuffer()))
    await run('unzip', ['-tq', path])
    return (await run('python3', ['-c', PYTHON, path])).stdout.trim().split('\n')
  } finally {
    await rm(directory, { recursive: true })
  }
}

test('[FT76] files, an empty one and two of one name are in the archive, which unzip and Python find whole', async () => {
  const store = await storeOf(3)
  for (const [path, text] of [
    ['tree/ü.txt', 'hello'],
    ['empty', ''],
    ['TREE/ü.txt', 'again'],
  ] as const) {
    const target = await store.open(fileOf(path, text.length), 's')
    if (text !== '') expect(await target.put(0, blockOf(text))).toBe(true)
    await target.finish()
    await target.close()
  }
  expect(await readByPython(store)).toEqual([
    'None',
    "('tree/ü.txt', 5, 2026)",
    "('empty', 0, 2026)",
    "('TREE/ü (2).txt', 5, 2026)",
  ])
})

test('[FT76] a file that is given up, and one that was paused for the next, are left out', async () => {
  const store = await storeOf(3)
  const [given, paused, whole] = [
    await store.open(fileOf('given', 100), 's'),
    await store.open(fileOf('paused', 100), 's'),
    await store.open(fileOf('whole', 5), 's'),
  ]
  await given.put(0, blockOf('partial'))
  await given.discard()
  await paused.put(0, blockOf('partial'))
  await whole.put(0, blockOf('hello'))
  await whole.finish()
  await expect(paused.put(1, blockOf('more'))).rejects.toMatchObject({ name: 'StoreError', reason: 'failed' })
  await paused.discard()
  expect(await readByPython(store)).toEqual(['None', "('whole', 5, 2026)"])
})

test('[FT76] a wrong block and one out of order are not taken, and a shorter file is not whole', async () => {
  const store = await storeOf(1)
  const target = await store.open(fileOf('a', 10), 's')
  expect(await target.put(0, { ...blockOf('hello'), hash: new Uint8Array(32) })).toBe(false)
  expect(await target.put(1, blockOf('hello'))).toBe(false)
  expect(await target.put(0, blockOf('hello'))).toBe(true)
  await expect(target.finish()).rejects.toThrow('shorter')
})

test('[FT76] if no file is whole there is no archive, and nothing was opened for it', async () => {
  let opened = 0
  const openSink = (): Promise<Sink> => Promise.resolve(memorySink('', opened++))
  const store = zipStore(await pageDesk(), { openSink, count: 1, now: () => 0 })
  await (await store.open(fileOf('a', 10), 's')).discard()
  await expect(store.end()).rejects.toThrow('No file')
  expect(opened).toBe(0)
})

test('[FT76] a path that leaves the folder is refused', async () => {
  const store = await storeOf(1)
  await expect(store.open(fileOf('../a', 10), 's')).rejects.toMatchObject({ reason: 'bad-name' })
})

test('[FT76] beyond 4 GiB the sizes and places are in zip64 fields, which Python reads', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'peerage-zip-'))
  try {
    const path = join(directory, 'big.zip')
    const zip = new ZipWriter(sparseSink(path))
    const zeros = new Uint8Array(1 << 30)
    const modifiedAt = new Date(2026, 5)
    const big = { id: Symbol('big'), name: 'big', size: 5 * zeros.length, modifiedAt }
    await zip.begin(big)
    for (let part = 0; part < 5; part++) await zip.write(big, zeros, 7)
    await zip.end(big)
    const small = { id: Symbol('small'), name: 'small', size: 9, modifiedAt }
    await zip.begin(small)
    await zip.write(small, new TextEncoder().encode('123456789'), 0xcbf4_3926)
    await zip.end(small)
    await zip.finish()
    const script = `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
print([(i.filename, i.file_size, i.CRC) for i in z.infolist()], z.read('small'))`
    const { stdout } = await run('python3', ['-c', script, path])
    expect(stdout.trim()).toBe(`[('big', ${5 * zeros.length}, 7), ('small', 9, 3421780262)] b'123456789'`)
    await expect(run('unzip', ['-p', path, 'small'])).resolves.toMatchObject({ stdout: '123456789' })
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('[FT76] small files go to the sink together, and a large block goes at once', async () => {
  const writes: number[] = []
  const sink: Sink = {
    write: async ({ length }) => void writes.push(length),
    finish: async () => ({ kind: 'saved', where: 'x.zip' }),
    abort: async () => {},
  }
  const zip = new ZipWriter(sink)
  const add = async (name: string, size: number): Promise<void> => {
    const file = { id: Symbol(name), name, size, modifiedAt: new Date(2026, 5) }
    await zip.begin(file)
    await zip.write(file, new Uint8Array(size), 0)
    await zip.end(file)
  }
  for (let index = 0; index < 100; index++) await add(`${index}`, 10)
  expect(writes).toEqual([])
  await add('large', 1 << 20)
  expect(writes).toEqual([expect.any(Number), 1 << 20])
  await zip.finish()
  expect(writes).toHaveLength(3)
})

/** A file in which zeros take no room on the disk. */
function sparseSink(path: string): Sink {
  let length = 0
  let work = writeFile(path, '')
  return {
    write: (bytes) => {
      const at = length
      length += bytes.length
      if (bytes.length < 1 << 20) work = work.then(() => writeAt(path, bytes, at))
      return work
    },
    finish: async () => ({ kind: 'saved', where: path }),
    abort: () => Promise.resolve(),
  }
}

async function writeAt(path: string, bytes: Uint8Array, at: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, at)
  await file.close()
}
