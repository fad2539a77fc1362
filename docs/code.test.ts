import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { blocksOf, documents, readDocument, type Block } from '@peerage/test-support/documents.js'
import { ensureBuilt, PEERAGE_BIN, REPOSITORY } from '@peerage/test-support/node.js'

// The code in the documents: types of JavaScript, commands of shells, and the error texts that are quoted.

const run = promisify(execFile)
const SLOW_MS = 120_000

/** What snippets leave to their reader. */
const GIVEN: Readonly<Record<string, string>> = {
  'docs/sdk.md': `
    import type { Peer } from '@peerage/client'
    declare global {
      const peer: Peer
      const connect: typeof import('@peerage/client').connect
      const Peerage: typeof import('@peerage/client')
      function show(text: string): void
      function typed(): Promise<string>
    }`,
  'docs/api.md': `
    import * as files from '@peerage/client/transfer'
    import type * as client from '@peerage/client'
    declare global {
      const peer: client.Peer & { p2p: client.P2P }
      const channel: client.Channel
      const connect: typeof client.connect
      const ConnectError: typeof client.ConnectError
      const PeerageError: typeof client.PeerageError
      function show(text: string): void
      function typed(): Promise<string>
      const createSharing: typeof files.createSharing
      const blobSource: typeof files.blobSource
      const memoryStore: typeof files.memoryStore
      const completeCode: typeof files.completeCode
      const safePath: typeof files.safePath
      const uniquePaths: typeof files.uniquePaths
      const sharing: files.Sharing
      const transfer: files.TransferControls
      const store: files.Store
      const sources: files.Source[]
      const link: files.ShareLink
      const words: readonly string[]
      const input: { files: readonly File[] }
      const createPeerage: typeof import('@peerage/server').createPeerage
    }`,
  'docs/api-http.md': `
    declare global {
      const api: import('@peerage/client/api').Api
    }`,
  'docs/server.md': `
    declare global {
      const createPeerage: typeof import('@peerage/server').createPeerage
      const fastify: { server: import('node:http').Server; listen(options: { port: number }): Promise<unknown> }
    }`,
  'docs/wires.md': `
    declare global {
      const createPeerage: typeof import('@peerage/server').createPeerage
      const WebrtcProvider: typeof import('y-webrtc').WebrtcProvider
      const doc: import('yjs').Doc
      const WebTorrent: typeof import('webtorrent')
      const joinRoom: typeof import('@trystero-p2p/torrent').joinRoom
      const signaling: string[]
      const relayConfig: { urls: string[] }
      const files: FileList
      const infoHash: string
      const server: import('node:http').Server
    }`,
  'docs/peerjs.md': `
    declare global {
      const peer: import('peerjs').Peer
      const Peer: typeof import('peerjs').Peer
      const app: import('express').Application
      const server: import('node:http').Server
    }`,
}

/** These hold JavaScript for readers; that of other READMEs is tested with its package. */
const isForReaders = (document: string): boolean =>
  /^(?:README|docs\/[\w-]+|packages\/(?:client|server|stun)\/README)\.md$/.test(document)

let blocks: Block[]

/** The scripts of a page, as a module. A node serves the SDK as one file; its types are those of the package. */
function scriptsOf(page: Block): Block {
  const scripts = Array.from(page.text.matchAll(/<script[^>]*>(.*?)<\/script>/gs), ([, script]) => script)
  const text = scripts.join('\n').replaceAll(/'[^']*\/client\/peerage\.js'/g, "'@peerage/client'")
  return { ...page, language: 'js', text }
}

beforeAll(async () => {
  await ensureBuilt()
  blocks = (await documents()).flatMap(blocksOf)
}, SLOW_MS)

const isJavaScript = ({ document, language }: Block): boolean =>
  (language === 'js' || language === 'jsx') && isForReaders(document)

test('a block of JavaScript is a snippet, or a program that names its file', () => {
  const unnamed = blocks
    .filter((block) => isJavaScript(block) && block.document !== 'packages/stun/README.md')
    .filter(({ isSnippet, file }) => isSnippet === (file !== undefined))
  expect(unnamed.map(({ document, line }) => `${document}:${line}`)).toEqual([])
})

// `peer.p2p.connect(…)` of the README was once an error under strict: `p2p` may be null.
test(
  'programs and snippets are right under TypeScript’s strict',
  async () => {
    const pages = blocks.filter(({ language }) => language === 'html').map(scriptsOf)
    expect(pages.length).toBeGreaterThan(1)
    const checked = [...blocks.filter(isJavaScript), ...pages]
    expect(checked.length).toBeGreaterThan(15)
    // Below the root, so that the programs find the packages as any program here does.
    const directory = await mkdtemp(join(REPOSITORY, 'node_modules', '.documents-'))
    try {
      // What a snippet is given is global, so the documents with givens of their own are projects of their own.
      const projects = [...Object.keys(GIVEN), 'others']
      const of = (project: string): Block[] =>
        checked.filter(({ document }) => (document in GIVEN ? document : 'others') === project)
      const told = await Promise.all(
        projects.map((project) => typesOf(join(directory, nameOf(project)), project, of(project))),
      )
      expect(told.join('')).toBe('')
    } finally {
      await rm(directory, { recursive: true })
    }
  },
  SLOW_MS,
)

const nameOf = (document: string): string => document.replaceAll(/\W/g, '-')

/** What the compiler says of these blocks, by document and line; '' if they are right. */
async function typesOf(directory: string, given: string, members: readonly Block[]): Promise<string> {
  await mkdir(directory)
  const titles = new Map<string, string>()
  for (const { document, line, language, text } of members) {
    const path = `${nameOf(document)}-${line}.${language === 'jsx' ? 'tsx' : 'mts'}`
    titles.set(path, `${document}:${line}`)
    // A file without imports is no module, and its names would meet those of the others.
    await writeFile(join(directory, path), `${text}\nexport {}\n`)
  }
  await writeFile(join(directory, 'given.d.ts'), `${GIVEN[given] ?? ''}\nexport {}\n`)
  const config = tsconfigOf([...titles.keys(), 'given.d.ts'])
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(REPOSITORY, 'node_modules/typescript/bin/tsc')
  const said = await run(process.execPath, [tsc, '-p', '.'], { cwd: directory }).then(
    () => '',
    (error: Error & { stdout?: string }) => error.stdout ?? error.message,
  )
  return said.replaceAll(/^[\w-]+\.(?:mts|tsx)/gm, (path) => `${titles.get(path) ?? path}, its line `)
}

/** JavaScript has no types of parameters; all else is as strict as it can be. */
function tsconfigOf(files: string[]): object {
  return {
    compilerOptions: {
      noEmit: true,
      strict: true,
      noImplicitAny: false,
      skipLibCheck: true,
      module: 'nodenext',
      target: 'es2023',
      lib: ['es2023', 'dom'],
      types: ['node'],
      jsx: 'react-jsx',
      jsxImportSource: 'preact',
      esModuleInterop: true,
      paths: { react: [join(REPOSITORY, 'node_modules/preact/compat/src/index.d.ts')] },
      customConditions: ['@peerage/source'],
    },
    files,
  }
}

/** One command of a shell, by its words; assignments before it are left out. */
function commandsOf(text: string): string[][] {
  return text
    .replaceAll('\\\n', ' ')
    .split(/\n| && |; (?=do |done)/)
    .map((line) => line.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/))
    .map((words) => words.slice(words.findIndex((word) => !/^[A-Z_]+=/.test(word))))
}

const PEERAGE_COMMANDS = [
  'serve',
  'send',
  'receive',
  'stun',
  'cluster',
  'token mint',
  'token verify',
  'doctor',
  'check-config',
  'print-config',
  'version',
]
const helps = new Map<string, Promise<string>>()

/** Every flag that a command of `peerage` takes: those of its help, and its settings. */
async function flagsOf(command: string): Promise<Set<string>> {
  const help =
    helps.get(command) ??
    run(process.execPath, [PEERAGE_BIN, ...command.split(' '), '--help']).then(({ stdout }) => stdout)
  helps.set(command, help)
  const table = command === 'stun' ? /<!-- stun:.*?<!-- \/stun/s : /<!-- settings:.*?<!-- \/settings/s
  const hasNone = ['cluster', 'send', 'receive', 'token mint', 'token verify'].includes(command)
  const [settings = ''] = hasNone ? [] : (table.exec(readDocument('docs/settings.md')) ?? [])
  const flags = Array.from(`${await help}${settings}`.matchAll(/--[a-z][a-z0-9-]*/g), ([flag]) => flag)
  return new Set([...flags, ...flags.map((flag) => flag.replace('--', '--no-'))])
}

async function problemsOfPeerage([first = '', ...rest]: string[]): Promise<string[]> {
  const command = first === 'token' ? `token ${rest[0]}` : first
  if (command === '--help' || command === '…') return []
  if (!PEERAGE_COMMANDS.includes(command)) return [`peerage has no command ${command}`]
  const flags = await flagsOf(command)
  return rest
    .filter((word) => word.startsWith('--'))
    .map((word) => word.split('=')[0] ?? word)
    .filter((flag) => !flags.has(flag))
    .map((flag) => `peerage ${command} has no flag ${flag}`)
}

const scripts: Record<string, string> = JSON.parse(readFileSync(`${REPOSITORY}package.json`, 'utf8')).scripts
const isThere = (path: string): boolean => existsSync(join(REPOSITORY, path))

async function problemsOf(words: string[], programs: ReadonlySet<string>): Promise<string[]> {
  const [program = '', first = '', second = '', ...rest] = words
  if (program === 'npx' || program === 'peerage')
    return first === '--no-install' && second === 'peerage'
      ? problemsOfPeerage(rest)
      : [`${words.join(' ')}: say npx --no-install peerage, for the name on npm is not ours`]
  if (program === 'node') {
    if (first === 'packages/server/bin/peerage.js') return problemsOfPeerage([second, ...rest])
    return isThere(first) || programs.has(first) ? [] : [`there is no ${first}`]
  }
  if (program === 'npm') {
    if (first === 'start') return second === '' ? [] : problemsOfPeerage(['serve', ...rest])
    if (first === 'test') return []
    if (first === 'run') return second in scripts ? [] : [`package.json has no script ${second}`]
    if (first === 'pack')
      return words.flatMap((word, i) =>
        words[i - 1] !== '-w' || isThere(`${word}/package.json`) ? [] : [word],
      )
    return first === 'init' || first === 'install' ? [] : [`npm ${first}?`]
  }
  if (program === 'kubectl')
    return words.flatMap((word, i) => (!/^-[fk]$/.test(words[i - 1] ?? '') || isThere(word) ? [] : [word]))
  return []
}

test(
  'commands in the documents exist, with their flags',
  async () => {
    const shells = blocks.filter(
      ({ document, language }) => language === 'sh' && !document.startsWith('bench/'),
    )
    expect(shells.length).toBeGreaterThan(15)
    const programs = new Set(blocks.flatMap(({ file }) => file ?? []))
    const problems: string[] = []
    for (const { document, line, text } of shells)
      for (const words of commandsOf(text))
        for (const problem of await problemsOf(words, programs))
          problems.push(`${document}:${line}: ${problem}`)
    expect(problems).toEqual([])
  },
  SLOW_MS,
)

test('the scripts that documents name in a line exist', async () => {
  const named = (await documents()).flatMap((document) =>
    Array.from(
      readDocument(document).matchAll(/`(?:[A-Z_]+=\S+ )?npm run ([\w:]+)(?![\w:]| -w)/g),
      ([, script = '']) => ({
        document,
        script,
      }),
    ),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(({ script }) => !(script in scripts))).toEqual([])
})

test('no document tells anyone to run whatever npm has under the name peerage', async () => {
  const told = (await documents()).filter((document) =>
    /npx (?!--no-install )[^`\n]*peerage/.test(readDocument(document)),
  )
  expect(told).toEqual([])
})

test('the flags that documents name in a line exist', async () => {
  const known = new Set(['--no-install'])
  for (const command of PEERAGE_COMMANDS) for (const flag of await flagsOf(command)) known.add(flag)
  const named = [
    'README.md',
    'docs/sdk.md',
    'docs/server.md',
    'docs/share.md',
    'docs/access.md',
    'docs/deploy.md',
    'docs/troubleshooting.md',
  ].flatMap((document) =>
    Array.from(readDocument(document).matchAll(/`(--[a-z][a-z0-9-]*)/g), ([, flag = '']) => ({
      document,
      flag,
    })),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(({ flag }) => !known.has(flag))).toEqual([])
})

test('the settings that documents name exist', async () => {
  const table = readDocument('docs/settings.md')
  const settings = new Set(Array.from(table.matchAll(/^\| `([\w.]+)` \|/gm), ([, setting = '']) => setting))
  const sections = [...new Set([...settings].flatMap((setting) => setting.split('.').slice(0, -1)))]
  const form = new RegExp(`\`((?:${sections.join('|')})\\.[a-zA-Z.]+)(?:: [^\`]+)?\``, 'g')
  const named = (await documents())
    .filter((document) => document.startsWith('docs/') && !/\/(?:api|architecture)\.md$/.test(document))
    .flatMap((document) =>
      Array.from(readDocument(document).matchAll(form), ([, setting = '']) => ({ document, setting })),
    )
  expect(named.length).toBeGreaterThan(20)
  // A document may also name a section, such as `limits.app`.
  const isKnown = (name: string): boolean =>
    settings.has(name) || [...settings].some((setting) => setting.startsWith(`${name}.`))
  expect(named.filter(({ setting }) => !isKnown(setting))).toEqual([])
})

/** What other programs say: an operating system, OpenSSL, `ws`, peerjs. And a text that is made of parts. */
const FOREIGN = [
  /^E[A-Z_]+$/,
  /CERT/,
  /^wrong version number$/,
  /^Unexpected server response/,
  /_serializers/,
  /^exit code/,
  /^(?:unavailable-id|peer-unavailable)$/,
  /^there is no option$/,
]

test('the texts that troubleshooting.md quotes are those of the code', async () => {
  const packages = ['client', 'server', 'protocol', 'core', 'redis', 'node-links']
  const sources = await Promise.all(packages.map((name) => sourceOf(`${REPOSITORY}packages/${name}/src`)))
  const scriptsText = await readFile(`${REPOSITORY}scripts/start.mjs`, 'utf8')
  const all = [...sources, scriptsText].join('\n')
  const rows = readDocument('docs/troubleshooting.md')
    .split('\n')
    .filter((line) => /^\| .*\|$/.test(line))
  const quoted = rows.flatMap((row) =>
    Array.from((row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g), ([, text = '']) => text),
  )
  expect(quoted.length).toBeGreaterThan(30)
  const unknown = quoted
    .filter((text) => !FOREIGN.some((form) => form.test(text)))
    .filter((text) => !all.includes(text))
  expect(unknown).toEqual([])
})

async function sourceOf(directory: string): Promise<string> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true })
  const files = entries.filter(({ name }) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  const texts = await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), 'utf8')))
  return texts.join('\n')
}
