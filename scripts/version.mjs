// npm run version: turns the changesets into versions and changelogs, and writes the version everywhere else it is named.
// The release workflow runs it, and opens a pull request with what it has written.
import { readFileSync, writeFileSync } from 'node:fs'
import { bin, install, requireNode, ROOT, step } from './lib.mjs'

requireNode()
if (!(await install())) process.exit(1)
const before = versionOf('packages/server/package.json')
const changesets = [bin('@changesets/cli/bin.js'), 'version']
if ((await step('versions and changelogs (changeset version)', process.execPath, changesets)) !== 0)
  process.exit(1)
const after = versionOf('packages/server/package.json')

/** Each place that names the version of this repository, as a pattern with the version as its second group. */
const PLACES = {
  'package.json': /("version": ")([^"]+)/,
  Dockerfile: /(-t peerage:)(\S+)/,
  'docker-compose.yml': /(image: peerage:)(\S+)/g,
  'k8s/base/kustomization.yaml': /(name: peerage\n\s+newTag: )(\S+)/,
}
for (const [file, place] of Object.entries(PLACES)) {
  const text = readFileSync(ROOT + file, 'utf8')
  writeFileSync(
    ROOT + file,
    text.replace(place, (_, start) => start + after),
  )
}
const lock = ['install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund']
if ((await step('package-lock.json (npm install)', 'npm', lock)) !== 0) process.exit(1)
console.log(`\n${before} is ${after} now`)

function versionOf(file) {
  return JSON.parse(readFileSync(ROOT + file, 'utf8')).version
}
