import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { requireKnown } from '@peerage/test-support/usage.js'
import type { Order, Tried } from './try-program.js'
import { ORDERS, tryProgram } from './try-program.js'

const run = promisify(execFile)

interface Framework {
  /** The packages that it needs besides Peerage and ws. */
  packages: string[]
  /** The name of its program in `programs`, if it differs. */
  program?: string
}

const FRAMEWORKS: Record<string, Framework> = {
  plain: { packages: [] },
  express: { packages: ['express@5.3.0'] },
  'express-4': { packages: ['express@4.22.1'], program: 'express' },
  'express-listen': { packages: ['express@5.3.0'] },
  'express-ws': { packages: ['express@4.22.1', 'express-ws@5.0.2'] },
  'socket.io': { packages: ['socket.io@4.8.4'] },
  fastify: { packages: ['fastify@5.12.8'] },
  'fastify-4': { packages: ['fastify@4.29.1'], program: 'fastify' },
  'fastify-websocket': { packages: ['fastify@5.12.8', '@fastify/websocket@11.3.7'] },
  'http-proxy': { packages: ['http-proxy@1.18.1'] },
  koa: { packages: ['koa@3.3.0'] },
  hono: { packages: ['hono@4.13.19', '@hono/node-server@2.1.9'] },
  nest: {
    packages: [
      '@nestjs/core@12.5.1',
      '@nestjs/common@12.5.1',
      '@nestjs/platform-express@12.5.1',
      'reflect-metadata@0.2.2',
      'rxjs@7.8.2',
    ],
  },
  hapi: { packages: ['@hapi/hapi@21.4.10'] },
  h3: { packages: ['h3@2.0.8'] },
  polka: { packages: ['polka@0.5.2'] },
  'next-dev': { packages: ['next@16.4.6', 'react@19.2.1', 'react-dom@19.2.1'] },
  'vite-middleware': { packages: ['vite@8.4.0'] },
}
const WS = 'ws@8.23.0'

type Row = Tried & { name: string; order: Order; packages: string[] }

export const USAGE = `npm run test:frameworks -- [--only NAME,…]
Runs a node in an application of each framework, with packages from npm. Without --only it writes docs/frameworks.md.
Frameworks: ${Object.keys(FRAMEWORKS).join(', ')}`

/** Resolves to the exit code. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { only: { type: 'string' } } })
  const only = values.only?.split(',')
  const chosen = Object.entries(FRAMEWORKS).filter(([name]) => only?.includes(name) ?? true)
  requireKnown(
    'framework',
    only?.filter((name) => !Object.hasOwn(FRAMEWORKS, name)) ?? [],
    Object.keys(FRAMEWORKS),
  )
  const work = await makeDirectory('frameworks')
  const rows: Row[] = []
  try {
    const tarballs = await pack(join(work, 'packed'))
    for (const [name, framework] of chosen)
      rows.push(...(await tryOne(name, framework, join(work, name), tarballs)))
  } finally {
    await removeDirectory(work)
  }
  if (values.only === undefined) await writeFile(join(REPOSITORY, 'docs/frameworks.md'), tableOf(rows))
  const failed = rows.filter((row) => !isFine(row)).map(({ name, order }) => `${name} (${order})`)
  console.log(failed.length === 0 ? '\nall passed' : `\nfailed: ${failed.join(', ')}`)
  return failed.length === 0 ? 0 : 1
}

async function pack(into: string): Promise<string[]> {
  await mkdir(into)
  await run('npm', ['pack', '--workspaces', '--silent', '--pack-destination', into], { cwd: REPOSITORY })
  return (await readdir(into)).map((file) => join(into, file))
}

async function tryOne(
  name: string,
  framework: Framework,
  folder: string,
  tarballs: string[],
): Promise<Row[]> {
  await cp(join(REPOSITORY, 'test/frameworks/programs'), folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const packages = [...tarballs, WS, ...framework.packages]
  const options = ['--silent', '--no-audit', '--no-fund', '--ignore-scripts']
  await run('npm', ['install', ...options, ...packages], { cwd: folder })
  const rows: Row[] = []
  for (const order of ORDERS) {
    console.log(`\n▸ ${name}, the node attached ${order}`)
    const tried = await tryProgram(join(folder, `${framework.program ?? name}.mjs`), order, folder)
    const row: Row = { name, order, packages: framework.packages, ...tried }
    for (const [what, outcome] of Object.entries(row.checks)) console.log(`  ${what}: ${outcome}`)
    if (!isFine(row)) console.log(row.output)
    rows.push(row)
  }
  return rows
}

function isFine({ checks }: Tried): boolean {
  return Object.values(checks).every((outcome) => outcome === 'ok')
}

function tableOf(rows: Row[]): string {
  const whats = [...new Set(rows.flatMap(({ checks }) => Object.keys(checks)))]
  const lines = rows.map(({ name, order, packages, checks }) => {
    const cells = whats.map((what) => checks[what] ?? 'not run')
    return `| ${[name, packages.join(', ') || 'Node alone', order, ...cells].join(' | ')} |`
  })
  const date = new Date().toISOString().slice(0, 10)
  return `# Frameworks

This table shows with which web frameworks a Peerage node works. Each row is a program in \`test/frameworks/programs\`. The program has its own route (\`/hello\`), its own WebSocket server (\`/own\`) and a node, all on one HTTP server that listens on \`localhost\`. The column "attached" says whether the node is attached before or after the program's own WebSocket server. \`npm run test:frameworks\` installs the packages in a temporary folder, starts each program and writes this page. If a program listens on both addresses of \`localhost\` (IPv4 and IPv6), the test tries both. Last run: ${date}, Node ${process.versions.node}.

| program | packages | attached | ${whats.join(' | ')} |
|---|---|---|${'---|'.repeat(whats.length)}
${lines.join('\n')}
`
}
