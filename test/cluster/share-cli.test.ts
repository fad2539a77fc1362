import { createHash } from 'node:crypto'
import { createReadStream, existsSync, statSync } from 'node:fs'
import { mkdir, open, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { PEERAGE_BIN, startNode, type Node } from '@peerage/test-support/node.js'
import { startChild, type Child, type Exit } from '@peerage/test-support/process.js'
import { findPython } from '@peerage/test-support/python.js'
import { seeded } from '@peerage/test-support/random.js'

// `peerage send` and `peerage receive` as real processes, through a real node.

const WITHIN_MS = 60_000
const MIB = 1024 * 1024
/** How often a transfer is broken. `PEERAGE_TEST_BREAKS=20` for more. */
const BREAKS = Number(process.env['PEERAGE_TEST_BREAKS'] ?? 3)

type Event = Readonly<Record<string, unknown>>

let node: Node
let folder: string
const children: Child[] = []
beforeAll(async () => void (node = await startNode()))
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop()
  if (folder !== undefined) await removeDirectory(folder)
})
afterAll(() => node?.stop())

async function newFolder(): Promise<string> {
  folder = await makeDirectory('share-cli')
  return folder
}

async function peerage(args: readonly string[], more: { server?: string } = {}): Promise<Child> {
  const child = await startChild({
    command: process.execPath,
    args: [PEERAGE_BIN, ...args],
    cwd: folder,
    env: { PEERAGE_SERVER: more.server ?? node.url },
  })
  children.push(child)
  return child
}

/** The first event, told already or later, of this kind. */
const event = (child: Child, name: string, matches: (event: Event) => boolean = () => true): Promise<Event> =>
  child.line((line) => {
    if (!line.startsWith('{')) return undefined
    const found = JSON.parse(line) as Event
    return found['event'] === name && matches(found) ? found : undefined
  }, WITHIN_MS)

const eventsOf = (child: Child): Event[] =>
  child.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Event)

async function send(...args: string[]): Promise<{ sender: Child; link: string }> {
  const sender = await peerage(['send', '--json', ...args])
  const { link } = await event(sender, 'share')
  return { sender, link: String(link) }
}

async function receive(...args: string[]): Promise<Exit & { child: Child }> {
  const child = await peerage(['receive', '--json', '--yes', ...args])
  return { ...(await child.stopped), child }
}

/** A file that differs in every block. */
async function writeBig(name: string, bytes: number): Promise<string> {
  const path = join(folder, name)
  const file = await open(path, 'w')
  const block = Buffer.alloc(MIB, 7)
  for (let at = 0; at < bytes; at += MIB) {
    block.writeUInt32BE(at / MIB)
    await file.write(block, 0, Math.min(MIB, bytes - at), at)
  }
  await file.close()
  return path
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

describe('files by a link', () => {
  test('a file, a folder and a text arrive, and both sides end', async () => {
    await newFolder()
    const big = await writeBig('big.bin', 20 * MIB + 11)
    await mkdir(join(folder, 'photos/2026'), { recursive: true })
    await writeFile(join(folder, 'photos/2026/cat.txt'), 'meow')
    await writeFile(join(folder, 'photos/empty'), '')
    const { sender, link } = await send('big.bin', 'photos', '--text', 'two\nlines', '--once', '--no-code')
    const { code, child } = await receive(link, '--to', 'out')
    expect(child.output()).toContain('"code":0')
    expect(code).toBe(0)
    expect((await sender.stopped).code).toBe(0)
    expect(await hashOf(join(folder, 'out/big.bin'))).toBe(await hashOf(big))
    expect(await readFile(join(folder, 'out/photos/2026/cat.txt'), 'utf8')).toBe('meow')
    expect((await readdir(join(folder, 'out'), { recursive: true })).sort()).toEqual([
      'big.bin',
      'photos',
      'photos/2026',
      'photos/2026/cat.txt',
      'photos/empty',
    ])
    const modified = (path: string): number => Math.round(statSync(path).mtimeMs)
    expect(modified(join(folder, 'out/big.bin'))).toBe(modified(big))
    const told = eventsOf(child)
    expect(told).toContainEqual(
      expect.objectContaining({ event: 'text', direction: 'in', text: 'two\nlines' }),
    )
    expect(told.filter((one) => one['event'] === 'file' && one['state'] === 'complete')).toHaveLength(3)
    expect(
      eventsOf(sender).filter((one) => one['event'] === 'file' && one['state'] === 'complete'),
    ).toHaveLength(3)
  })

  test('a code serves once, and then another one is shown', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'hello')
    const { sender } = await send('a.txt')
    const { code: first } = await event(sender, 'code')
    expect(first).toMatch(/^\d+(?:-[a-z]+){3}$/)
    expect((await receive(String(first), '--to', 'out')).code).toBe(0)
    expect(await readFile(join(folder, 'out/a.txt'), 'utf8')).toBe('hello')
    const { code: second } = await event(sender, 'code', ({ code }) => code !== first)
    // The words are right, and in the wrong order.
    const [number, one, ...words] = String(second).split('-')
    const wrong = await receive([number, ...words, one].join('-'), '--to', 'wrong')
    expect(wrong.code).toBe(4)
    await event(sender, 'code-gone', ({ why }) => why === 'burnt')
    await sender.kill('SIGINT')
    expect((await sender.stopped).code).toBe(0)
  })

  test('a named file is sent also when standard input is a pipe', async () => {
    await newFolder()
    await writeFile(join(folder, 'named.txt'), 'from the file')
    const sender = await startChild({
      command: 'sh',
      args: [
        '-c',
        'echo from the pipe | "$0" "$@"',
        process.execPath,
        PEERAGE_BIN,
        'send',
        '--json',
        '--once',
        'named.txt',
      ],
      cwd: folder,
      env: { PEERAGE_SERVER: node.url },
    })
    children.push(sender)
    const { link } = await event(sender, 'share')
    expect((await receive(String(link), '--to', 'out')).code).toBe(0)
    expect(await readdir(join(folder, 'out'))).toEqual(['named.txt'])
    expect(await readFile(join(folder, 'out/named.txt'), 'utf8')).toBe('from the file')
    // The shell would not end it.
    expect((await sender.stopped).code).toBe(0)
  })

  test('what a program writes goes to another program, and nothing of it is left', async () => {
    await newFolder()
    const pipe = 'echo from a program | "$0" "$@"'
    const sender = await startChild({
      command: 'sh',
      args: ['-c', pipe, process.execPath, PEERAGE_BIN, 'send', '--json', '--once', '-'],
      cwd: folder,
      env: { PEERAGE_SERVER: node.url, TMPDIR: folder },
    })
    children.push(sender)
    const { link } = await event(sender, 'share')
    const child = await peerage(['receive', '--yes', '--to', '-', String(link)])
    expect((await child.stopped).code).toBe(0)
    expect(child.lines).toContain('from a program')
    expect((await sender.stopped).code).toBe(0)
    expect(await readdir(folder)).toEqual([])
  })
})

/** Lets a program find no node-datachannel. */
const hook = `export async function resolve(name, context, next) {
  if (name.startsWith('node-datachannel'))
    throw Object.assign(new Error('hidden by the test: ' + name), { code: 'ERR_MODULE_NOT_FOUND' })
  return next(name, context)
}`
const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`
const WITHOUT_WEBRTC = dataUrl(
  `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hook))})`,
)

/** Runs a program in a terminal of its own, closes the terminal when it prints a link, and prints how the program ended. */
const CLOSED_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'peer_id=' not in said: said += os.read(terminal, 4096)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
`

test('a terminal that is closed ends send', async () => {
  await newFolder()
  await writeFile(join(folder, 'a'), 'hello')
  const child = await startChild({
    command: await findPython(),
    args: ['-c', CLOSED_TERMINAL, process.execPath, PEERAGE_BIN, 'send', 'a', '--server', node.url],
    cwd: folder,
  })
  children.push(child)
  // By the signal, as Python says it.
  expect(await child.line((line) => line.trim(), WITHIN_MS)).toBe('-1')
})

test('without WebRTC, files go through the server', async () => {
  await newFolder()
  const big = await writeBig('big.bin', 2 * MIB + 5)
  const { sender, link } = await send('big.bin', '--once', '--no-code')
  const child = await startChild({
    command: process.execPath,
    args: ['--import', WITHOUT_WEBRTC, PEERAGE_BIN, 'receive', '--json', '--yes', '--to', 'out', link],
    cwd: folder,
  })
  children.push(child)
  expect((await child.stopped).code).toBe(0)
  expect(eventsOf(child)).toContainEqual(expect.objectContaining({ event: 'open', path: 'server' }))
  expect(await hashOf(join(folder, 'out/big.bin'))).toBe(await hashOf(big))
  expect((await sender.stopped).code).toBe(0)
})

describe('a transfer that breaks goes on', () => {
  /** Resolves when the receiver's journal has this many records. */
  async function blocksOnDisk(count: number): Promise<void> {
    const journal = join(folder, 'out/big.bin.part.journal')
    const header = 200
    await expect
      .poll(() => statSync(journal, { throwIfNoEntry: false })?.size ?? 0, {
        interval: 2,
        timeout: WITHIN_MS,
      })
      .toBeGreaterThan(header + 36 * count)
  }
  /** How many blocks a receiver had when its first bytes came. */
  const keptBlocks = (child: Child): number =>
    Math.max(
      ...eventsOf(child)
        .filter((one) => one['event'] === 'progress')
        .slice(0, 2)
        .map((one) => Math.floor(Number(one['bytesDone']) / MIB)),
    )

  test(
    `the receiver is killed ${BREAKS} times, and the file is whole`,
    async () => {
      await newFolder()
      const size = 200 * MIB + 3
      const big = await writeBig('big.bin', size)
      const random = seeded(16)
      const { sender, link } = await send('big.bin', '--once', '--no-code')
      let before = 0
      for (let broken = 0; broken < BREAKS; broken++) {
        const child = await peerage(['receive', '--json', '--yes', link, '--to', 'out'])
        before += random.between(1, Math.floor(160 / BREAKS))
        await blocksOnDisk(before)
        await child.kill('SIGKILL')
        await child.stopped
        expect(await readdir(join(folder, 'out'))).toContain('big.bin.part')
      }
      const { code, child } = await receive(link, '--to', 'out')
      expect(child.output()).toContain('"code":0')
      expect(code).toBe(0)
      expect(keptBlocks(child)).toBeGreaterThanOrEqual(before)
      expect(await readdir(join(folder, 'out'))).toEqual(['big.bin'])
      expect(await hashOf(join(folder, 'out/big.bin'))).toBe(await hashOf(big))
      expect((await sender.stopped).code).toBe(0)
    },
    4 * WITHIN_MS,
  )

  test('Ctrl-C ends the receiver, which says how to go on', async () => {
    await newFolder()
    const big = await writeBig('big.bin', 200 * MIB)
    const { sender, link } = await send('big.bin', '--once', '--no-code')
    const child = await peerage(['receive', '--yes', link, '--to', 'out'])
    await blocksOnDisk(5)
    await child.kill('SIGINT')
    expect((await child.stopped).code).toBe(3)
    expect(child.lines.at(-1)).toContain(`receive '${link}' --to 'out'`)
    expect((await readdir(join(folder, 'out'))).filter((name) => !name.startsWith('.'))).toEqual([
      'big.bin.part',
      'big.bin.part.journal',
    ])
    const again = await receive(link, '--to', 'out')
    expect(again.code).toBe(0)
    expect(await hashOf(join(folder, 'out/big.bin'))).toBe(await hashOf(big))
    expect((await sender.stopped).code).toBe(0)
  })

  test('a file that is changed while it is sent is told on both sides, and nothing is left', async () => {
    await newFolder()
    const big = await writeBig('big.bin', 200 * MIB)
    const { sender, link } = await send('big.bin', '--once', '--no-code')
    const child = await peerage(['receive', '--json', '--yes', link, '--to', 'out'])
    await blocksOnDisk(2)
    await writeFile(big, 'other')
    expect((await child.stopped).code).toBe(1)
    expect((await sender.stopped).code).toBe(1)
    for (const side of [child, sender])
      expect(eventsOf(side)).toContainEqual(
        expect.objectContaining({ event: 'file', state: 'ended', reason: 'file-changed' }),
      )
    expect(await readdir(join(folder, 'out'))).toEqual([])
  })
})

describe('a share for one receiver', () => {
  test('is not used up by a receiver that can store nothing', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'new')
    await mkdir(join(folder, 'out'))
    await writeFile(join(folder, 'out/a.txt'), 'precious')
    const { sender, link } = await send('a.txt', '--once', '--no-code')
    const refused = await receive(link, '--to', 'out')
    expect([refused.code, refused.child.output()]).toEqual([1, expect.stringContaining('--overwrite')])
    expect(await readFile(join(folder, 'out/a.txt'), 'utf8')).toBe('precious')
    const many = await receive(link, '--to', 'out/a.txt')
    expect([many.code, many.child.output()]).toEqual([2, expect.stringContaining('a.txt is no folder')])
    expect((await receive(link, '--to', 'out', '--overwrite')).code).toBe(0)
    expect(await readFile(join(folder, 'out/a.txt'), 'utf8')).toBe('new')
    expect((await sender.stopped).code).toBe(0)
  })

  test('waits for its receiver, who could not store one of the files', async () => {
    await newFolder()
    for (const name of ['a', 'b', 'c']) await writeFile(join(folder, name), `new ${name}`)
    await mkdir(join(folder, 'out'))
    await writeFile(join(folder, 'out/b'), 'precious')
    const { sender, link } = await send('a', 'b', 'c', '--once', '--no-code')
    expect((await receive(link, '--to', 'out')).code).toBe(1)
    expect(await readFile(join(folder, 'out/b'), 'utf8')).toBe('precious')
    await rm(join(folder, 'out/b'))
    const again = await receive(link, '--to', 'out')
    expect(again.child.output()).toContain('"code":0')
    expect((await readdir(join(folder, 'out'))).sort()).toEqual(['a', 'b', 'c'])
    expect(await readFile(join(folder, 'out/b'), 'utf8')).toBe('new b')
    expect((await sender.stopped).code).toBe(0)
  })

  test('goes on after a break between two files', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'first')
    const big = await writeBig('big.bin', 200 * MIB)
    const { sender, link } = await send('a.txt', 'big.bin', '--once', '--no-code')
    const child = await peerage(['receive', '--json', '--yes', link, '--to', 'out'])
    await event(child, 'file', ({ path, state }) => path === 'a.txt' && state === 'complete')
    await child.kill('SIGKILL')
    await child.stopped
    const again = await receive(link, '--to', 'out')
    expect(again.child.output()).toContain('"code":0')
    expect(again.code).toBe(0)
    expect(await hashOf(join(folder, 'out/big.bin'))).toBe(await hashOf(big))
    expect((await readdir(join(folder, 'out'))).sort()).toEqual(['a.txt', 'big.bin'])
    expect((await sender.stopped).code).toBe(0)
  })
})

describe('what is wrong is told', () => {
  /** Runs a command whose standard output goes to a place of the shell. */
  async function redirected(to: string, ...args: string[]): Promise<Exit & { child: Child }> {
    const child = await startChild({
      command: 'sh',
      args: ['-c', `"$0" "$@" ${to}`, process.execPath, PEERAGE_BIN, ...args],
      cwd: folder,
      env: { PEERAGE_SERVER: node.url },
    })
    children.push(child)
    return { ...(await child.stopped), child }
  }

  test.skipIf(!existsSync('/dev/full'))('a standard output that is full', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'hello')
    const { sender, link } = await send('a.txt', '--no-code')
    for (const args of [
      ['receive', '--yes', '--to', '-', link],
      ['receive', '--yes', '--to', '-', '--json', link],
      ['send', '--json', 'a.txt'],
      ['send', 'a.txt'],
    ]) {
      const { code, child } = await redirected('> /dev/full', ...args)
      expect([code, child.output()]).toEqual([
        1,
        expect.stringContaining('standard output: the disk is full'),
      ])
    }
    expect(eventsOf(sender)).not.toContainEqual(expect.objectContaining({ event: 'file', state: 'complete' }))
  })

  test('a standard output that nobody reads', async () => {
    await newFolder()
    await writeBig('big.bin', 20 * MIB)
    const { link } = await send('big.bin', '--no-code')
    const { child } = await redirected('| true', 'receive', '--yes', '--to', '-', link)
    expect(child.output()).toContain('standard output: the program that reads it has ended')
  })

  test('a wrong password, a wrong link and a share that is gone have exit codes of their own', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'hello')
    await writeFile(join(folder, 'right'), 'sesame\n')
    await writeFile(join(folder, 'wrong'), 'salami\n')
    const { sender, link } = await send('a.txt', '--password-file', 'right', '--no-code')
    expect((await receive(link)).code).toBe(4)
    const wrong = await receive(link, '--password-file', 'wrong')
    expect(wrong.code).toBe(4)
    expect(eventsOf(wrong.child)).toContainEqual(
      expect.objectContaining({ event: 'closed', why: 'wrong-password' }),
    )
    const cut = await receive(link.slice(0, -5))
    expect([cut.code, cut.child.output()]).toEqual([
      2,
      expect.stringContaining('the end of the link is missing'),
    ])
    const other = link.replace(
      /#(.{3})./,
      (_, start: string) => `#${start}${link.at(-41) === 'A' ? 'B' : 'A'}`,
    )
    expect((await receive(other, '--password-file', 'right')).code).toBe(4)
    expect((await receive(link, '--password-file', 'right', '--to', 'out')).code).toBe(0)
    await sender.kill('SIGINT')
    await sender.stopped
    expect((await receive(link, '--password-file', 'right', '--to', 'later')).code).toBe(1)
  })

  test('a file that exists is not replaced, unless that is asked for', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'new')
    await mkdir(join(folder, 'out'))
    await writeFile(join(folder, 'out/a.txt'), 'precious')
    const { link } = await send('a.txt', '--no-code')
    const { code, child } = await receive(link, '--to', 'out')
    expect([code, child.output()]).toEqual([1, expect.stringContaining('--overwrite')])
    expect(await readFile(join(folder, 'out/a.txt'), 'utf8')).toBe('precious')
    expect((await receive(link, '--to', 'out', '--overwrite')).code).toBe(0)
    expect(await readFile(join(folder, 'out/a.txt'), 'utf8')).toBe('new')
  })

  test.each([
    [['send'], 'say what to send'],
    [['send', 'missing.txt'], 'missing.txt does not exist'],
    [['send', '/dev/null'], 'there is no file to send'],
    [['send', '--text', 'x', '--expires', 'soon'], '--expires: soon is no time'],
    [['send', '--text', 'x', '--server', 'ftp://x'], '--server: ftp://x is no address'],
    [['send', '--text', 'x', '--password'], '--password asks at a terminal'],
    [['receive'], 'say what to receive'],
    [['receive', '--yes'], 'say what to receive'],
    [['receive', 'hello'], 'neither a link nor a code'],
    [['receive', '--yes', '17-crane-otter-tulip', '--to', ''], '--to is empty'],
    [['receive', '--yes', '17-crane-otter-tulip', '--to', '/dev/null/x'], '/dev/null is no folder'],
    [['receive', '--yes', '17-crane-otter'], 'a word is missing'],
    [['receive', '--yes', '17-crane-otter-tulipp'], 'the word tulipp is in no code'],
    [['receive', '--yes', 'https://x.example/?peer_id=a'], 'copy the whole link'],
  ])('%j is refused', async (args, says) => {
    await newFolder()
    const child = await peerage(args)
    expect([(await child.stopped).code, child.output()]).toEqual([2, expect.stringContaining(says)])
    if (args.includes('--password')) return
    const json = await peerage([...args, '--json'])
    await json.stopped
    expect(eventsOf(json).at(-1)).toEqual({ event: 'end', code: 2, message: '' })
  })

  test('files without --yes where nobody can be asked: nothing is accepted, and a share for one receiver stays', async () => {
    await newFolder()
    await writeFile(join(folder, 'a.txt'), 'hello')
    const { sender, link } = await send('a.txt', '--once', '--no-code')
    const child = await peerage(['receive', link, '--to', 'out'])
    expect([(await child.stopped).code, child.output()]).toEqual([
      2,
      expect.stringContaining('--yes accepts all files'),
    ])
    expect((await receive(link, '--to', 'out')).code).toBe(0)
    expect((await sender.stopped).code).toBe(0)
  })

  test('a text is printed without --yes', async () => {
    await newFolder()
    const { link } = await send('--text', 'see you at nine', '--no-code')
    const child = await peerage(['receive', link])
    expect([(await child.stopped).code, child.lines]).toEqual([
      0,
      expect.arrayContaining(['see you at nine']),
    ])
  })

  test('a text that is too long for one', async () => {
    await newFolder()
    const child = await peerage(['send', '--text', 'x'.repeat(32_769)])
    const says = 'has 32,769 characters, and at most 32,768 are possible'
    expect([(await child.stopped).code, child.output()]).toEqual([2, expect.stringContaining(says)])
  })

  test('a server that is not there', async () => {
    await newFolder()
    const child = await peerage(['receive', '--yes', '17-crane-otter-tulip'], {
      server: 'http://127.0.0.1:1',
    })
    await child.kill('SIGINT')
    expect((await child.stopped).code).not.toBe(0)
  })
})
