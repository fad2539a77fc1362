import { execFile } from 'node:child_process'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { childEnvironment, startChild, type Child } from '@peerage/test-support/process.js'

// Installs what `npm publish` would send in an empty project, outside of the checkout and its node_modules.

const PUBLISHED = ['protocol', 'core', 'redis', 'node-links', 'stun', 'server', 'client'] as const
const INSTALL_MS = 240_000
const READY_MS = 20_000

const manifestSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
  keywords: z.array(z.string()).min(3),
  engines: z.object({ node: z.string() }),
  files: z.array(z.string()),
  exports: z.record(z.string(), z.record(z.string(), z.unknown())),
  publishConfig: z.object({ access: z.literal('public') }),
  sideEffects: z.literal(false),
  type: z.literal('module'),
})
const packedSchema = z.array(
  z.object({ name: z.string(), filename: z.string(), files: z.array(z.object({ path: z.string() })) }),
)

interface Packed {
  name: string
  folder: string
  tarball: string
  manifest: z.infer<typeof manifestSchema>
  files: Set<string>
}

const execute = promisify(execFile)
let directory: string
let project: string
let packages: Packed[]
const children: Child[] = []

beforeAll(async () => {
  directory = await makeDirectory('tarballs')
  packages = await pack()
  project = join(directory, 'project')
  await install()
}, INSTALL_MS)

afterAll(async () => {
  for (const child of children) await child.stop()
  if (directory !== undefined) await removeDirectory(directory)
})

async function pack(): Promise<Packed[]> {
  const workspaces = PUBLISHED.flatMap((name) => ['--workspace', `packages/${name}`])
  const { stdout } = await execute(
    'npm',
    ['pack', '--json', '--pack-destination', directory, ...workspaces],
    { cwd: REPOSITORY, maxBuffer: 1 << 26 },
  )
  const packed: unknown = JSON.parse(stdout)
  // npm 11 lists the tarballs, npm 12 names them.
  const list = Array.isArray(packed) ? packed : Object.values(z.record(z.string(), z.unknown()).parse(packed))
  return Promise.all(
    packedSchema.parse(list).map(async ({ name, filename, files }) => {
      const folder = `${REPOSITORY}packages/${name.replace('@peerage/', '')}/`
      const manifest = manifestSchema.parse(JSON.parse(await readFile(`${folder}package.json`, 'utf8')))
      return {
        name,
        folder,
        tarball: join(directory, filename),
        manifest,
        files: new Set(files.map((file) => file.path)),
      }
    }),
  )
}

async function install(): Promise<void> {
  await execute('mkdir', [project])
  await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }')
  const options = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--omit=optional']
  const tarballs = packages.map(({ tarball }) => tarball)
  try {
    await execute('npm', ['install', ...options, ...tarballs], { cwd: project, maxBuffer: 1 << 26 })
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    throw new Error(
      `the tarballs cannot be installed. Their dependencies come from npm's cache or from the npm registry; without both, this test cannot run.\n${text}`,
      { cause: error },
    )
  }
}

/** All that a manifest names with `./` in this part of it. */
function targetsOf(part: unknown): string[] {
  if (typeof part === 'string') return part.startsWith('./') ? [part.slice(2)] : []
  return typeof part === 'object' && part !== null ? Object.values(part).flatMap(targetsOf) : []
}

/** Every folder of that name in a tree of node_modules. */
async function copiesOf(name: string): Promise<string[]> {
  const found = await readdir(join(project, 'node_modules'), { recursive: true })
  return found.filter((path) => new RegExp(`(?:^|/node_modules/)${name}/package\\.json$`).test(path))
}

test.each(PUBLISHED)('@peerage/%s: its tarball holds what it should, and nothing else', async (folder) => {
  const { manifest, files } = packageOf(folder)
  for (const file of ['LICENSE', 'README.md', 'package.json']) expect(files).toContain(file)
  expect(await readFile(`${REPOSITORY}packages/${folder}/LICENSE`, 'utf8')).toBe(
    await readFile(`${REPOSITORY}LICENSE`, 'utf8'),
  )
  const root = z
    .object({ version: z.string(), engines: z.object({ node: z.string() }) })
    .parse(JSON.parse(await readFile(`${REPOSITORY}package.json`, 'utf8')))
  expect([manifest.version, manifest.engines]).toEqual([root.version, root.engines])
  const { exports, main, types, bin, unpkg, jsdelivr } = manifest
  for (const target of targetsOf({ exports, main, types, bin, unpkg, jsdelivr }))
    expect(files, `is built (npm run build), and packed`).toContain(target)
  // Each entry of `files` matches at least one file.
  for (const entry of manifest.files.filter((one) => !one.startsWith('!')))
    expect([...files].some((file) => file === entry || file.startsWith(`${entry}/`))).toBe(true)
  const unwanted = /(?:^|\/)testing\/|\.test\.|\.tsbuildinfo$|(?:^|\/)node_modules\//
  expect([...files].filter((file) => unwanted.test(file))).toEqual([])
})

test.each(PUBLISHED)(
  '@peerage/%s: each map has its source, and each file of dist was built from one',
  async (name) => {
    const { folder, files } = packageOf(name)
    const compiled = [...files].filter((file) => /^dist\/(?!page\/|client\/|bundle\/).*\.js$/.test(file))
    expect(compiled.length).toBeGreaterThan(0)
    const left = compiled.filter((file) => !files.has(file.replace(/^dist\/(.*)\.js$/, 'src/$1.ts')))
    expect(left, 'left over from an earlier build: npm run build removes them').toEqual([])
    for (const map of [...files].filter((file) => file.endsWith('.map'))) {
      const { sources } = z
        .object({ sources: z.array(z.string()) })
        .parse(JSON.parse(await readFile(folder + map, 'utf8')))
      for (const source of sources) expect(files).toContain(join(map, '..', source))
    }
  },
)

test.each(PUBLISHED)('@peerage/%s: publint and attw find nothing', async (name) => {
  const { tarball, manifest } = packageOf(name)
  const bytes = Uint8Array.from(await readFile(tarball))
  const { messages } = await publint({ strict: true, pack: { tarball: bytes.buffer } })
  expect(messages).toEqual([])
  const attw = `${REPOSITORY}node_modules/@arethetypeswrong/cli/dist/index.js`
  // It exits with 1 for a problem.
  const { stdout } = await execute(process.execPath, [attw, tarball, '--profile', 'esm-only'], {
    env: childEnvironment(),
  })
  for (const entry of Object.keys(manifest.exports))
    expect(stdout).toContain(`"@peerage/${name}${entry.slice(1)}"`)
})

describe('installed in an empty project', () => {
  test('each entry imports', async () => {
    const entries = packages.flatMap(({ name, manifest }) =>
      Object.keys(manifest.exports).map((entry) => name + entry.slice(1)),
    )
    expect(entries).toContain('@peerage/client/react')
    expect(entries.filter((entry) => entry.endsWith('/testing'))).toEqual([])
    const program = `for (const entry of ${JSON.stringify(entries)}) console.log(entry, Object.keys(await import(entry)).length)`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program], {
      cwd: project,
      env: childEnvironment(),
    })
    for (const entry of entries) expect(stdout).toMatch(new RegExp(`^${entry} [1-9]`, 'm'))
  })

  test('there is one copy of ws, though socket.io brings it along, and one of each package of ours', async () => {
    expect(await copiesOf('ws')).toEqual(['ws/package.json'])
    for (const { name } of packages) expect(await copiesOf(name)).toEqual([`${name}/package.json`])
  })

  test.each(['protocol', 'core'] as const)('the program of the README of @peerage/%s runs', async (name) => {
    const readme = await readFile(join(project, 'node_modules/@peerage', name, 'README.md'), 'utf8')
    const program = /```js\n(.*?)```/s.exec(readme)?.[1] ?? ''
    const run = await execute(process.execPath, ['--input-type=module', '-e', program], {
      cwd: project,
      env: childEnvironment(),
    })
    expect(run.stderr).toBe('')
    expect(run.stdout).toContain(name === 'core' ? 'bob gets hello\nforwarded' : 'alice')
  })

  test('the command serves the page, its script and the SDK, and two peers exchange a message', async () => {
    const child = await startChild({
      command: process.execPath,
      args: [join(project, 'node_modules/.bin/peerage'), 'serve', '--port', '0'],
      cwd: project,
    })
    children.push(child)
    const url = await child.line((line) => /"url":"([^"]+)".*"msg":"ready"/.exec(line)?.[1], READY_MS)
    const page = await fetch(url, { headers: { accept: 'text/html' } })
    const html = await page.text()
    expect([page.status, html]).toEqual([200, expect.stringContaining('<title>')])
    for (const path of [/src="([^"]+\.js)"/.exec(html)?.[1] ?? '', 'client/peerage.js']) {
      const script = await fetch(new URL(path, page.url))
      expect([path, script.status, script.headers.get('content-type')]).toEqual([
        path,
        200,
        expect.stringMatching(/^text\/javascript/),
      ])
    }
    const program = `import { connect } from '@peerage/client'
      const [ann, bob] = [await connect('${url}', { name: 'ann' }), await connect('${url}', { name: 'bob' })]
      bob.on('message', (from, data) => console.log(from, 'says', data))
      await ann.send('bob', 'hello')
      await Promise.all([ann.leave(), bob.leave()])`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', program], {
      cwd: project,
    })
    expect(stdout).toBe('ann says hello\n')
    await child.kill('SIGTERM')
    expect(await child.stopped).toEqual({ code: 0, signal: null })
  })

  test('it carries what `peerage cluster` needs of this repository', () => {
    expect(packageOf('server').files).toContain('dist/haproxy.cfg')
  })
})

function packageOf(folder: string): Packed {
  const found = packages.find(({ name }) => name === `@peerage/${folder}`)
  if (found === undefined) throw new Error(`@peerage/${folder} is not packed`)
  return found
}
