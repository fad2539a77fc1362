import { cp, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findBinary } from '@peerage/test-support/binary.js'
import { launchChromium } from '@peerage/test-support/chromium.js'
import { ensureBuilt, REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { run } from '@peerage/test-support/process.js'
import { requireKnown } from '@peerage/test-support/usage.js'
import { bundlers } from './bundlers.js'
import type { Bundler, Site, Trial } from './trial.js'
import { FIREFOX, runIn, writeFiles } from './trial.js'

export const USAGE = `npm run test:bundlers -- [--only NAME,…]
Bundles an application with the packed packages and each published bundler, and runs the results. It needs the npm
registry and some minutes. --only chooses bundlers by the start of their names: vite,next.`

const APP = fileURLToPath(new URL('app/', import.meta.url))
const DOCUMENT = `${REPOSITORY}docs/bundlers.md`
const MARK = '<!-- table: written by npm run test:bundlers -->'
const NODE_DATACHANNEL = 'node-datachannel@0.33.4'
const INSTALL_DEADLINE_MS = 300_000

interface Row {
  bundler: string
  trial: Trial
  failure: string | undefined
}

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { only: { type: 'string' } } })
  const only = values.only?.toLowerCase().split(',')
  const isNamed = (word: string, { name }: Bundler): boolean => name.toLowerCase().startsWith(word)
  const unknown = only?.filter((word) => !bundlers.some((bundler) => isNamed(word, bundler))) ?? []
  requireKnown('bundler', unknown, [...new Set(bundlers.map(({ name }) => name))])
  const chosen = bundlers.filter((bundler) => only?.some((word) => isNamed(word, bundler)) ?? true)
  await ensureBuilt()
  const packages = await makeDirectory('packed')
  const sharedNode = await startNode()
  const browser = await launchChromium()
  const rows: Row[] = []
  try {
    const tarballs = await pack(packages)
    for (const bundler of chosen)
      rows.push(...(await tryOut(bundler, tarballs, { nodeUrl: sharedNode.url, browser })))
  } finally {
    await browser.stop()
    await sharedNode.stop()
    await removeDirectory(packages)
  }
  const failed = rows.filter(({ failure }) => failure !== undefined)
  if (failed.length === 0) await write(rows, browser.version)
  for (const { bundler, trial, failure } of failed)
    console.error(`\n✗ ${bundler}, ${trial.platform}: ${failure}`)
  console.log(`\n${rows.length - failed.length} passed, ${failed.length} failed`)
  return failed.length === 0 && rows.length > 0 ? 0 : 1
}

/** Packs the packages as `npm publish` would. */
async function pack(directory: string): Promise<string[]> {
  const files: string[] = []
  for (const name of ['protocol', 'client']) {
    const folder = `${REPOSITORY}packages/${name}`
    const output = await run(
      'npm',
      ['pack', folder, '--silent', '--pack-destination', directory],
      INSTALL_DEADLINE_MS,
    )
    files.push(`${directory}/${output.trim().split('\n').at(-1)}`)
  }
  return files
}

async function tryOut(bundler: Bundler, tarballs: string[], parts: Omit<Site, 'folder'>): Promise<Row[]> {
  const { packages, files = {}, manifest = {}, trials } = bundler
  const title = titleOf(bundler)
  const folder = await makeDirectory('bundler')
  const rows: Row[] = []
  try {
    await cp(APP, folder, { recursive: true })
    await writeFiles(folder, { ...files, 'package.json': JSON.stringify({ private: true, ...manifest }) })
    const install = ['npm', 'install', '--no-audit', '--no-fund', ...packages, NODE_DATACHANNEL, ...tarballs]
    await runIn(folder, ['env', 'NODE_ENV=development', ...install])
    for (const trial of trials) {
      const failure = await failureOf(trial, { ...parts, folder })
      console.log(`${failure === undefined ? '✓' : '✗'} ${title}: ${trial.platform}`)
      rows.push({ bundler: title, trial, failure })
    }
    return rows
  } finally {
    await removeDirectory(folder)
  }
}

async function failureOf(trial: Trial, site: Site): Promise<string | undefined> {
  try {
    for (const command of trial.build) await runIn(site.folder, command)
    const result = await trial.run(site)
    return trial.expect.test(result) ? undefined : result
  } catch (error) {
    return String(error)
  }
}

/** Writes the rows into the table. The rows of other bundlers stay. */
async function write(rows: Row[], chromium: string): Promise<void> {
  const date = new Date().toISOString().slice(0, 10)
  const fresh = rows.map(({ bundler, trial }) =>
    line([
      bundler,
      trial.platform,
      trial.entry === '@peerage/client' ? '`.`' : '`./static`',
      trial.setting ?? '',
      date,
    ]),
  )
  const [before = '', table = '', after = ''] = (await readFile(DOCUMENT, 'utf8')).split(MARK)
  const isOf = (row: string, bundler: string): boolean => row.startsWith(`| ${bundler} |`)
  const ran = new Set(rows.map(({ bundler }) => bundler))
  const all = [...new Set(bundlers.map(titleOf))].flatMap((bundler) =>
    (ran.has(bundler) ? fresh : table.split('\n')).filter((row) => isOf(row, bundler)),
  )
  const firefox = (await findBinary(FIREFOX)).version
  const versions =
    `The last run had Node ${process.versions.node}, Chromium ${chromium}, Firefox ${firefox} and ` +
    `${NODE_DATACHANNEL}.`
  const head = [line(['bundler', 'platform', 'entry', 'settings', 'passed on']), line(Array(5).fill('---'))]
  const filled = ['', '', versions, '', ...head, ...all, '', ''].join('\n')
  await writeFile(DOCUMENT, [before, filled, after].join(MARK))
}

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

const titleOf = ({ name, packages }: Bundler): string => `${name} ${packages[0]?.split('@').at(-1)}`
