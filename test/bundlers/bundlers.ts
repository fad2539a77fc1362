import type { Bundler, Site, Trial } from './trial.js'
import {
  DIRECT,
  IN_WORKER,
  NO_WEBRTC,
  alone,
  copied,
  fetched,
  firefox,
  node,
  page,
  pageAt,
  server,
  serviceWorker,
} from './trial.js'

const SDK = '@peerage/client'
const STATIC = '@peerage/client/static'
const REQUIRE = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)`

const inPage = (build: Trial['build'], directory: string, setting?: string): Trial => ({
  platform: 'page',
  entry: SDK,
  build,
  run: page(directory),
  expect: DIRECT,
  ...(setting !== undefined && { setting }),
})
const inNode = (build: Trial['build'], file: string, setting?: string): Trial => ({
  platform: 'Node',
  entry: SDK,
  build,
  run: node(file),
  expect: DIRECT,
  ...(setting !== undefined && { setting }),
})
const asOneFile = (build: Trial['build'], file: string, setting?: string): Trial => ({
  platform: 'Node, one file in an empty folder',
  entry: STATIC,
  build,
  run: alone(file),
  expect: NO_WEBRTC,
  ...(setting !== undefined && { setting }),
})
const inServiceWorker = (
  build: Trial['build'],
  directory: string,
  file: string,
  setting?: string,
): Trial => ({
  platform: 'module service worker',
  entry: STATIC,
  build,
  run: serviceWorker(directory, file),
  expect: IN_WORKER,
  ...(setting !== undefined && { setting }),
})

/** The configuration of webpack and of Rspack. */
const packed = (entry: string, target: string, directory: string): string =>
  `export default {
    mode: 'production',
    devtool: false,
    entry: './${entry}.js',
    target: '${target}',
    output: { path: import.meta.dirname + '/${directory}', filename: '${entry}.${target === 'node' ? 'c' : ''}js' },
  }\n`
const PACKED = {
  'web.mjs': packed('page', 'web', 'out-web'),
  'node.mjs': packed('server', 'node', 'out-node'),
  'single.mjs': packed('single', 'node', 'out-single'),
  'worker.mjs': packed('worker', 'webworker', 'out-worker'),
  'out-web/index.html': '<!doctype html><script src="page.js"></script>',
}
const packedTrials = (build: (config: string) => readonly string[]): Trial[] => [
  inPage([build('web.mjs')], 'out-web'),
  inNode([build('node.mjs')], 'out-node/server.cjs', "`target: 'node'`"),
  asOneFile([build('single.mjs')], 'out-single/single.cjs', "`target: 'node'`"),
  inServiceWorker([build('worker.mjs')], 'out-worker', 'worker.js', "`target: 'webworker'`"),
]

/** The compiler options for a program for Node, as strict as possible. */
export const COMPILED = {
  compilerOptions: {
    target: 'es2022',
    lib: ['es2022'],
    module: 'nodenext',
    strict: true,
    skipLibCheck: false,
    types: ['node'],
    noEmit: true,
  },
  files: ['program.mts'],
}
export const PROGRAM = `import { ConnectError, PeerageError, connect, type Peer } from '@peerage/client'
import { connect as connectStatic } from '@peerage/client/static'
import { offerManually } from '@peerage/client/manual'
import { createHooks } from '@peerage/client/react'
const peer: Peer = await connect('http://127.0.0.1:9000', { signal: AbortSignal.timeout(5000) })
const channel = await peer.p2p?.connect('bob')
channel?.on('message', (data: string | Uint8Array) => console.log(data))
// @ts-expect-error -- a name must be a string: this line shows that the types apply
await peer.p2p?.connect(1)
console.log(ConnectError, PeerageError, connectStatic, offerManually, createHooks)
`
const compiler = (name: string, version: string): Bundler => ({
  name,
  packages: [`typescript@${version}`, '@types/node@20.19.43'],
  files: { 'program.mts': PROGRAM, 'tsconfig.json': JSON.stringify(COMPILED) },
  trials: [
    {
      platform: 'types without `dom`, `skipLibCheck: false`',
      entry: SDK,
      build: [['tsc', '-p', '.']],
      run: () => Promise.resolve('compiled'),
      expect: /^compiled$/,
    },
  ],
})

const PARCEL = {
  targets: {
    web: { source: 'index.html', distDir: 'out-web', publicUrl: './' },
    node: {
      source: 'server.js',
      distDir: 'out-node',
      context: 'node',
      includeNodeModules: true,
      outputFormat: 'commonjs',
      engines: { node: '>=20' },
    },
    single: {
      source: 'single.js',
      distDir: 'out-single',
      context: 'node',
      includeNodeModules: true,
      outputFormat: 'commonjs',
      engines: { node: '>=20' },
    },
    worker: {
      source: 'worker.js',
      distDir: 'out-worker',
      context: 'service-worker',
      includeNodeModules: true,
      outputFormat: 'esmodule',
      engines: { browsers: 'last 2 Chrome versions' },
    },
  },
}
const parcel = (target: string): string[] => [
  'parcel',
  'build',
  '--no-source-maps',
  '--no-cache',
  '--target',
  target,
]

const NEXT = {
  'app/layout.js': `export default ({ children }) => <html lang="en"><body>{children}</body></html>\n`,
  'app/page.js': `import Client from './client.js'\nexport default () => <Client />\n`,
  'app/client.js': `'use client'
import * as sdk from '@peerage/client'
import { useEffect } from 'react'
import { work } from '../work.js'
export default function Client() {
  useEffect(() => {
    work(sdk, new URLSearchParams(location.search).get('node')).then(
      (result) => (document.title = 'RESULT ' + result),
      (error) => (document.title = 'RESULT ' + error),
    )
  }, [])
  return null
}
`,
  'app/api/route.js': `import * as sdk from '@peerage/client'
import { work } from '../../work.js'
export const dynamic = 'force-dynamic'
export const GET = async () => new Response(await work(sdk, process.env.SERVER_URL).catch(String))
`,
  'app/edge/route.js': `import * as sdk from '@peerage/client'
import { work } from '../../work.js'
export const runtime = 'edge'
export const GET = async (request) =>
  new Response(await work(sdk, new URL(request.url).searchParams.get('node')).catch(String))
`,
  'app/server/page.js': `import * as sdk from '@peerage/client'
import { work } from '../../work.js'
export const dynamic = 'force-dynamic'
export default async () => <p>{'RESULT ' + (await work(sdk, process.env.SERVER_URL).catch(String)) + ' END'}</p>
`,
}
const STANDALONE = `export default {
  output: 'standalone',
  outputFileTracingIncludes: { '/*': ['node_modules/{node-datachannel,@node-datachannel,detect-libc}/**'] },
}
`
const start = ['next', 'start', '-p', '0', '-H', '127.0.0.1']
const develop = ['next', 'dev', '-p', '0', '-H', '127.0.0.1']
const component = async (site: Site, url: string): Promise<string> =>
  /RESULT (.*?) END/.exec(await fetched('server')(site, url))?.[1] ?? 'no result'
const edge = (site: Site, url: string): Promise<string> =>
  fetched(`edge?node=${encodeURIComponent(site.nodeUrl)}`)(site, url)

export const bundlers: readonly Bundler[] = [
  {
    name: 'Vite',
    packages: ['vite@8.4.0'],
    files: {
      'server.config.mjs': `export default { build: { ssr: 'server.js', outDir: 'out-node' }, ssr: { noExternal: true } }\n`,
      'single.config.mjs': `export default { build: { ssr: 'single.js', outDir: 'out-single' }, ssr: { noExternal: true } }\n`,
    },
    trials: [
      inPage([['vite', 'build', '--base', './', '--outDir', 'out-web']], 'out-web'),
      {
        ...inPage([], ''),
        platform: 'page, `vite dev`',
        run: server(['vite', '--host', '127.0.0.1', '--port', '0'], pageAt),
      },
      inNode(
        [['vite', 'build', '-c', 'server.config.mjs']],
        'out-node/server.mjs',
        '`build.ssr`, `ssr.noExternal: true`',
      ),
      asOneFile(
        [['vite', 'build', '-c', 'single.config.mjs']],
        'out-single/single.mjs',
        '`build.ssr`, `ssr.noExternal: true`',
      ),
    ],
  },
  {
    name: 'webpack',
    packages: ['webpack@5.113.0', 'webpack-cli@7.3.1'],
    files: PACKED,
    trials: packedTrials((config) => ['webpack', '-c', config]),
  },
  {
    name: 'Rspack',
    packages: ['@rspack/core@2.3.4', '@rspack/cli@2.2.8'],
    files: PACKED,
    trials: packedTrials((config) => ['rspack', 'build', '-c', config]),
  },
  {
    name: 'esbuild',
    packages: ['esbuild@0.28.2'],
    files: { 'out-web/index.html': '<!doctype html><script type="module" src="page.js"></script>' },
    trials: [
      inPage(
        [['esbuild', 'page.js', '--bundle', '--minify', '--format=esm', '--splitting', '--outdir=out-web']],
        'out-web',
      ),
      inNode(
        [['esbuild', 'server.js', '--bundle', '--platform=node', '--outfile=out-node/server.cjs']],
        'out-node/server.cjs',
        '`platform: node`',
      ),
      asOneFile(
        [['esbuild', 'single.js', '--bundle', '--platform=node', '--outfile=out-single/single.cjs']],
        'out-single/single.cjs',
        '`platform: node`',
      ),
      asOneFile(
        [
          [
            'esbuild',
            'single.js',
            '--bundle',
            '--platform=node',
            '--format=esm',
            '--outfile=out-single/single.mjs',
            `--banner:js=${REQUIRE}`,
          ],
        ],
        'out-single/single.mjs',
        '`platform: node`, `format: esm`, and the banner above',
      ),
      inServiceWorker(
        [['esbuild', 'worker.js', '--bundle', '--format=esm', '--outfile=out-worker/worker.js']],
        'out-worker',
        'worker.js',
      ),
    ],
  },
  {
    name: 'esbuild',
    packages: ['esbuild@0.28.2', 'puppeteer-core@25.16.0'],
    manifest: { type: 'module' },
    trials: [
      {
        platform: 'page in Firefox whose P2P file fails to load three times',
        entry: SDK,
        build: [
          ['esbuild', 'parts.js', '--bundle', '--minify', '--format=esm', '--splitting', '--outdir=out-web'],
        ],
        run: firefox('parts'),
        expect: /^connected, asked 4 times$/,
      },
      {
        ...inServiceWorker([], '', ''),
        platform: 'module service worker in Firefox',
        build: [['esbuild', 'worker.js', '--bundle', '--format=esm', '--outfile=out-web/worker.js']],
        run: firefox('worker'),
      },
    ],
  },
  {
    name: 'Rollup',
    packages: ['rollup@4.68.8', '@rollup/plugin-node-resolve@16.0.3', '@rollup/plugin-commonjs@29.0.3'],
    files: {
      'rollup.config.mjs': `import commonjs from '@rollup/plugin-commonjs'
import resolve from '@rollup/plugin-node-resolve'
const node = [resolve({ exportConditions: ['node'], preferBuiltins: true }), commonjs()]
export default [
  { input: 'page.js', output: { dir: 'out-web' }, plugins: [resolve({ browser: true })] },
  { input: 'server.js', output: { dir: 'out-node', entryFileNames: '[name].mjs' }, plugins: node },
  { input: 'single.js', output: { file: 'out-single/single.mjs' }, plugins: node },
  { input: 'worker.js', output: { file: 'out-worker/worker.js' }, plugins: [resolve({ browser: true })] },
]
`,
      'out-web/index.html': '<!doctype html><script type="module" src="page.js"></script>',
    },
    trials: [
      inPage([['rollup', '-c']], 'out-web', '`nodeResolve({ browser: true })`'),
      inNode([], 'out-node/server.mjs', "`nodeResolve({ exportConditions: ['node'] })`, `commonjs()`"),
      asOneFile([], 'out-single/single.mjs', "`nodeResolve({ exportConditions: ['node'] })`, `commonjs()`"),
      inServiceWorker([], 'out-worker', 'worker.js', '`nodeResolve({ browser: true })`'),
    ],
  },
  {
    name: 'Rolldown',
    packages: ['rolldown@1.3.3'],
    files: {
      'rolldown.config.mjs': `export default [
  { input: 'page.js', platform: 'browser', output: { dir: 'out-web' } },
  { input: 'server.js', platform: 'node', output: { dir: 'out-node', entryFileNames: '[name].mjs' } },
  { input: 'single.js', platform: 'node', output: { file: 'out-single/single.mjs' } },
  { input: 'worker.js', platform: 'browser', output: { file: 'out-worker/worker.js' } },
]
`,
      'out-web/index.html': '<!doctype html><script type="module" src="page.js"></script>',
    },
    trials: [
      inPage([['rolldown', '-c']], 'out-web', "`platform: 'browser'`"),
      inNode([], 'out-node/server.mjs', "`platform: 'node'`"),
      asOneFile([], 'out-single/single.mjs', "`platform: 'node'`"),
      inServiceWorker([], 'out-worker', 'worker.js', "`platform: 'browser'`"),
    ],
  },
  {
    name: 'Parcel without settings',
    packages: ['parcel@2.16.4'],
    manifest: { targets: { web: PARCEL.targets.web } },
    trials: [inPage([parcel('web')], 'out-web')],
  },
  {
    name: 'Parcel',
    packages: ['parcel@2.16.4'],
    manifest: { ...PARCEL, '@parcel/resolver-default': { packageExports: true } },
    trials: [
      inPage([parcel('web')], 'out-web', '`packageExports: true`'),
      inNode([parcel('node')], 'out-node/server.js', '`packageExports: true`, `context: node`'),
      asOneFile([parcel('single')], 'out-single/single.js', '`packageExports: true`, `context: node`'),
      inServiceWorker([parcel('worker')], 'out-worker', 'worker.js', '`packageExports: true`'),
    ],
  },
  {
    name: 'Next (Turbopack)',
    packages: ['next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1'],
    files: NEXT,
    trials: [
      { ...inPage([['next', 'build']], ''), platform: 'client component', run: server(start, pageAt) },
      { ...inNode([], ''), platform: 'route handler', run: server(start, fetched('api')) },
      { ...inNode([], ''), platform: 'server component', run: server(start, component) },
      { ...inNode([], ''), platform: 'edge route', run: server(start, edge), expect: IN_WORKER },
      { ...inPage([], ''), platform: 'client component, `next dev`', run: server(develop, pageAt) },
      { ...inNode([], ''), platform: 'route handler, `next dev`', run: server(develop, fetched('api')) },
    ],
  },
  {
    name: 'Next (Turbopack)',
    packages: ['next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1'],
    files: { ...NEXT, 'next.config.mjs': STANDALONE },
    trials: [
      {
        ...inNode([['next', 'build']], ''),
        platform: 'route handler, in a copy of `.next/standalone`',
        run: copied('.next/standalone', fetched('api')),
        setting: '`outputFileTracingIncludes`, see above',
      },
    ],
  },
  compiler('TypeScript', '7.0.2'),
  compiler('TypeScript', '5.9.3'),
]
