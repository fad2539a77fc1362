import { execFile } from 'node:child_process'
import { cp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { theEngine } from './engine.js'
import { IMAGE } from './image-build.js'
import { leftContainers } from './our-image.js'

// What our image consists of.

const execute = promisify(execFile)

/** The files of /app were 11.1 MB on 2026-12-01. What is added beyond this should be meant. */
const APP_BYTES = 12_200_000
const APP_FILES = 2_400

interface Entry {
  /** Its path in the image, such as `app/packages`. */
  path: string
  /** As `ls -l` shows them: `-rw-r--r--`. */
  mode: string
  /** The numbers of its owner and group: `0/0`. */
  owner: string
  bytes: number
}

let directory: string
let entries: Entry[]

beforeAll(async () => {
  directory = await makeDirectory('image')
  const engine = theEngine()
  const archive = join(directory, 'image.tar')
  const id = await engine.docker(['create', '--name', 'image-files', IMAGE])
  try {
    await engine.docker(['export', '--output', archive, id])
  } finally {
    await engine.docker(['rm', id])
  }
  const { stdout } = await execute('tar', ['--numeric-owner', '-tvf', archive], { maxBuffer: 1 << 26 })
  entries = stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, mode = '', owner = '', bytes = '', path = ''] =
        /^(\S+) (\S+) +(\d+) \S+ \S+ (.+?)(?: -> .*)?$/.exec(line) ?? []
      return { mode, owner, bytes: Number(bytes), path: path.replace(/\/$/, '') }
    })
  await execute('tar', ['-xf', archive, '-C', directory, 'app'])
  await rm(archive)
})
afterAll(() => removeDirectory(directory))

const inApp = (): Entry[] => entries.filter(({ path }) => /^app(?:\/|$)/.test(path))
const files = (): Entry[] => inApp().filter(({ mode }) => mode.startsWith('-'))
const paths = (pattern: RegExp): string[] => inApp().flatMap(({ path }) => (pattern.test(path) ? [path] : []))

test('its configuration: a user by number, process 1 without a shell, its signal, its ports, its health command', async () => {
  const config = JSON.parse(
    await theEngine().docker(['image', 'inspect', '--format', '{{json .Config}}', IMAGE]),
  ) as unknown
  expect(config).toMatchObject({
    User: '65532',
    WorkingDir: '/app',
    Entrypoint: ['/nodejs/bin/node', 'packages/server/bin/peerage.js'],
    Cmd: ['serve'],
    StopSignal: 'SIGTERM',
    Env: expect.arrayContaining(['NODE_ENV=production', 'PEERAGE_HOST=0.0.0.0']) as unknown,
    Healthcheck: {
      Test: [
        'CMD',
        '/nodejs/bin/node',
        'packages/server/bin/healthcheck.js',
        'http://127.0.0.1:9000/healthz',
      ],
      Interval: 10e9,
      Timeout: 3e9,
      StartPeriod: 10e9,
      Retries: 3,
    },
  })
  const { ExposedPorts } = z.object({ ExposedPorts: z.record(z.string(), z.unknown()) }).parse(config)
  expect(Object.keys(ExposedPorts).sort()).toEqual([
    '9000/tcp',
    '9001/udp',
    '9100/tcp',
    '9200/tcp',
    '9901/tcp',
    '9901/udp',
  ])
})

describe('its files', () => {
  test('are as many and as large as they need to be', () => {
    const bytes = files().reduce((sum, file) => sum + file.bytes, 0)
    process.stderr.write(`/app: ${files().length} files, ${(bytes / 1e6).toFixed(1)} MB\n`)
    expect(bytes).toBeLessThan(APP_BYTES)
    expect(files().length).toBeLessThan(APP_FILES)
  })

  test('hold no sources, types, source maps, tests, records of npm and hidden files', () => {
    expect(paths(/\.(?:ts|mts|cts|tsx|map|tsbuildinfo|log)$/)).toEqual([])
    expect(
      paths(/\.test\.\w+$|node_modules\/(?:@[^/]+\/)?[^/]+\/(?:tests?|examples|benchmarks|docs)$/),
    ).toEqual([])
    expect(paths(/(?:^|\/)(?:package-lock\.json|yarn\.lock)$/)).toEqual([])
    expect(paths(/\/\.[^/]*$/)).toEqual([])
    // The texts of packages are licenses.
    expect(paths(/\.md$/).filter((path) => !/\/licen[cs]e\.md$/i.test(path))).toEqual([])
  })

  test('are ours, the packages that a node needs, and nothing else', async () => {
    const below = async (folder: string): Promise<string[]> =>
      (await readdir(join(directory, 'app', folder))).sort()
    expect(await below('.')).toEqual(['LICENSE', 'node_modules', 'packages'])
    expect(await below('packages')).toEqual([
      'client',
      'core',
      'node-links',
      'protocol',
      'redis',
      'server',
      'stun',
    ])
    const lock = z
      .object({ packages: z.record(z.string(), z.object({ dev: z.boolean().optional() })) })
      .parse(JSON.parse(await readFile(`${REPOSITORY}package-lock.json`, 'utf8')))
    const installed = paths(/node_modules\/(?:@[^/]+\/[^/]+|[^@/][^/]*)$/)
      .filter(
        (path) =>
          !/node_modules\/(?:@peerage\/.*|@[^/]+)$/.test(path) || /@(?!peerage)[^/]+\/[^/]+$/.test(path),
      )
      .map((path) => path.replace('app/', ''))
    expect(installed.length).toBeGreaterThan(30)
    for (const path of installed)
      expect([path, lock.packages[path]]).toEqual([path, expect.not.objectContaining({ dev: true })])
    for (const path of installed)
      expect([path, (await below(path)).filter((name) => /^licen[cs]e/i.test(name)).length]).not.toEqual([
        path,
        0,
      ])
  })

  test('belong to root, and nobody else may write them or become another account by them', () => {
    expect(inApp().filter(({ owner }) => owner !== '0/0')).toEqual([])
    const isWritable = ({ mode }: Entry): boolean => !mode.startsWith('l') && /^.....w|^........w/.test(mode)
    expect(inApp().filter(isWritable)).toEqual([])
    expect(entries.filter(({ mode }) => /[sS]/.test(mode))).toEqual([])
  })

  test('have no native code, so the same files serve amd64 and arm64', async () => {
    expect(paths(/\.(?:node|so|wasm)$/)).toEqual([])
    for (const { path } of files()) {
      const file = await open(join(directory, path))
      const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
      await file.close()
      expect([path, buffer.toString('latin1') === '\u007FELF']).toEqual([path, false])
    }
  })

  test('are only added below /app', async () => {
    const base = /^FROM (gcr\.io\S+)$/m.exec(await readFile(`${REPOSITORY}Dockerfile`, 'utf8'))?.[1] ?? ''
    const engine = theEngine()
    const id = await engine.docker(['create', '--name', 'image-base', base])
    const archive = join(directory, 'base.tar')
    try {
      await engine.docker(['export', '--output', archive, id])
    } finally {
      await engine.docker(['rm', id])
    }
    const { stdout } = await execute('tar', ['-tf', archive], { maxBuffer: 1 << 26 })
    await rm(archive)
    const ofBase = new Set(stdout.split('\n').map((path) => path.replace(/\/$/, '')))
    const added = entries.filter(({ path }) => !path.startsWith('app') && !ofBase.has(path))
    expect(added).toEqual([])
  })

  test('are all that the programs import', async () => {
    const missing: string[] = []
    for (const program of ['peerage.js', 'healthcheck.js', '../dist/main.js']) {
      const built = await rolldown({
        input: join(directory, 'app/packages/server/bin', program),
        platform: 'node',
        onLog: (_, { code, message }) => void (code === 'UNRESOLVED_IMPORT' && missing.push(message)),
      })
      await built.generate({ format: 'esm' })
      await built.close()
    }
    // Optional: ws and pino work without these, and `peerage send` says how to get the last.
    const optional = /'(?:bufferutil|utf-8-validate|pino-pretty|supports-color|node-datachannel)'/
    expect(missing.filter((message) => !optional.test(message))).toEqual([])
  })
})

test('a change of our sources installs no package again, and its layer of packages stays', async () => {
  const engine = theEngine()
  const context = join(directory, 'context')
  const { stdout } = await execute('git', ['ls-files', '-z'], { cwd: REPOSITORY, maxBuffer: 1 << 26 })
  const wanted = stdout
    .split('\0')
    .filter(
      (path) => /^(?:packages|scripts)\/|^deploy\/haproxy\.cfg$|^[^/]+$|^LICENSE$/.test(path) && path !== '',
    )
  for (const path of wanted) await cp(join(REPOSITORY, path), join(context, path))
  const changed = join(context, 'packages/server/src/main.ts')
  await writeFile(
    changed,
    `${await readFile(changed, 'utf8')}\n// changed by a test\nprocess.title = 'changed'\n`,
  )
  const layersOf = async (image: string): Promise<string[]> =>
    z
      .array(z.string())
      .parse(
        JSON.parse(await engine.docker(['image', 'inspect', '--format', '{{json .RootFS.Layers}}', image])),
      )
  try {
    await engine.docker(['build', '--quiet', '--network=host', '--tag', 'image-changed', context], {
      deadlineMs: 300_000,
    })
    const [before, after] = await Promise.all([layersOf(IMAGE), layersOf('image-changed')])
    expect(after).toHaveLength(before.length)
    const different = after.flatMap((layer, i) => (layer === before[i] ? [] : [i]))
    // Its own layer alone. The one after it is WORKDIR, which is empty.
    expect(different).toEqual([before.length - 2])
  } finally {
    await engine.docker(['image', 'rm', '--force', 'image-changed'])
  }
})

test('nothing is left behind', async () => {
  expect(await leftContainers()).toEqual([])
})
