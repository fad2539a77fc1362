import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { ROOT } from './lib.mjs'

/**
 * The flags of a node that npm has taken for its own, written as they should have been; undefined if there are none.
 * Without `--`, npm keeps `--port 9100` as a setting of its own (`npm_config_port`), and passes on `9100` or nothing.
 */
export function withoutDashes(words, env) {
  const taken = flags().flatMap(({ flag, isSwitch }) => {
    const value = env[`npm_config_${flag.replaceAll('-', '_')}`]
    if (value === undefined) return []
    if (value === '') return [{ text: `--no-${flag}` }]
    if (value !== 'true') return [{ text: `--${flag}=${value}` }]
    return [{ text: `--${flag}`, hasWord: !isSwitch }]
  })
  // npm does not say which of several words belongs to which flag.
  const word = taken.filter(({ hasWord }) => hasWord).length === 1 ? (words[0] ?? '…') : '…'
  const right = taken.map(({ text, hasWord }) => (hasWord ? `${text} ${word}` : text))
  return right.length > 0 ? right.join(' ') : undefined
}

/**
 * Whether the node of the last build refuses its flags or its other settings. It says what is wrong on standard error,
 * in the seconds before a build. False without a build, and after a build of older settings: only `serve` can tell then.
 */
export function refusesFlags(words, root = ROOT) {
  const [table, build, main] = [
    `${root}docs/settings.md`,
    `${root}packages/server/tsconfig.tsbuildinfo`,
    `${root}packages/server/dist/main.js`,
  ]
  if (words.length === 0 || !existsSync(build) || !existsSync(main)) return false
  if (statSync(table).mtimeMs > statSync(build).mtimeMs) return false
  const args = [`${root}packages/server/bin/peerage.js`, 'check-config', ...words]
  return (
    spawnSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status === WRONG_SETTINGS
  )
}

/** The exit code of `peerage` for a configuration that is wrong. */
const WRONG_SETTINGS = 2

/** Reads the table that scripts/docs.mjs writes, because this runs before the first build. */
function flags() {
  const document = readFileSync(`${ROOT}docs/settings.md`, 'utf8')
  const [, settings] = /<!-- settings: [^\n]*\n([^]*?)<!-- \/settings -->/.exec(document)
  return Array.from(
    settings.matchAll(/\| `--([a-z0-9-]+)` \|[^|]*\| (`(?:true|false)`)?/g),
    ([, flag, isSwitch]) => ({ flag, isSwitch: isSwitch !== undefined }),
  )
}
