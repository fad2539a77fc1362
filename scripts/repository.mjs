// Where this repository is, in all package.json files that are published. Once: node scripts/repository.mjs URL && npm run format.
// The release workflow runs it with --check and its own URL, and does not publish unless all of them say so.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { refuse, ROOT } from './lib.mjs'

const USAGE = 'node scripts/repository.mjs [--check] https://github.com/OWNER/NAME'

const isCheck = process.argv[2] === '--check'
const url = process.argv[isCheck ? 3 : 2]
if (url === undefined || !/^https:\/\/[^/\s]+\/[^/\s]+\/[^/\s]+(?<!\.git)$/.test(url))
  refuse(`not the URL of a repository: ${url ?? 'none'}`, USAGE)

const folders = readdirSync(`${ROOT}packages`).map((name) => `packages/${name}`)
const wrong = []
for (const directory of ['', ...folders]) {
  const file = `${ROOT}${directory === '' ? '' : `${directory}/`}package.json`
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  if (directory !== '' && manifest.private === true) continue
  const fields = fieldsOf(directory)
  if (!isCheck) writeFileSync(file, `${JSON.stringify({ ...manifest, ...fields }, null, 2)}\n`)
  else if (Object.entries(fields).some(([key, value]) => !isEqual(manifest[key], value))) wrong.push(file)
}
if (wrong.length > 0) {
  console.error(
    `Not published: these do not say that the repository is ${url}:\n  ${wrong.join('\n  ')}\nRun: node scripts/repository.mjs ${url} && npm run format, and commit what they write.`,
  )
  process.exit(1)
}

function fieldsOf(directory) {
  const repository = { type: 'git', url: `git+${url}.git` }
  if (directory === '') return { homepage: `${url}#readme`, bugs: `${url}/issues`, repository }
  return {
    homepage: `${url}/tree/main/${directory}#readme`,
    bugs: `${url}/issues`,
    repository: { ...repository, directory },
  }
}

function isEqual(one, other) {
  return JSON.stringify(one) === JSON.stringify(other)
}
