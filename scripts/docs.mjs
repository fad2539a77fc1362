// Writes the tables of settings into docs/settings.md, from the schema. Needs a build.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { ROOT } from './lib.mjs'

const file = `${ROOT}docs/settings.md`
const table = (...args) =>
  execFileSync(
    process.execPath,
    [`${ROOT}packages/server/bin/peerage.js`, 'print-config', '--docs', ...args],
    {
      encoding: 'utf8',
    },
  ).trimEnd()

const fill = (text, name, content) =>
  text.replace(
    new RegExp(`(<!-- ${name}: [^\\n]*-->\\n)[^]*?(<!-- /${name} -->)`),
    (_, start, end) => `${start}\n${content}\n\n${end}`,
  )

const text = fill(readFileSync(file, 'utf8'), 'settings', table())
writeFileSync(file, fill(text, 'stun', table('--stun')))
console.log(`written: ${file}`)
