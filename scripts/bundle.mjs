// Part of every build, after tsc. It makes the SDK one file for pages without a bundler, once as a module and once as a
// global for a script tag, and gives @peerage/server the files of other folders that it carries.
import { copyFileSync, cpSync, readFileSync, rmSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { ROOT } from './lib.mjs'

const CLIENT = `${ROOT}packages/client/`
const SERVER = `${ROOT}packages/server/dist/`
const BUNDLE = `${CLIENT}dist/bundle`
const FILES = { 'peerage.js': { format: 'esm' }, 'peerage.global.js': { format: 'iife', name: 'Peerage' } }

const { version, license } = JSON.parse(readFileSync(`${CLIENT}package.json`, 'utf8'))
rmSync(BUNDLE, { recursive: true, force: true })
// The static entry holds all parts, because a single file cannot load another one later.
const bundle = await rolldown({ input: `${CLIENT}dist/entries/static.js`, platform: 'browser' })
for (const [name, output] of Object.entries(FILES)) {
  const postBanner = `/*! @peerage/client ${version}, ${license} */`
  await bundle.write({ ...output, file: `${BUNDLE}/${name}`, minify: true, postBanner })
  const text = readFileSync(`${BUNDLE}/${name}`)
  const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`
  console.log(`  ${name}: ${kib(text.length)}, with gzip ${kib(gzipSync(text).length)}`)
}
await bundle.close()

rmSync(`${SERVER}client`, { recursive: true, force: true })
cpSync(BUNDLE, `${SERVER}client`, { recursive: true })
copyFileSync(`${ROOT}deploy/haproxy.cfg`, `${SERVER}haproxy.cfg`)
