import { readFileSync } from 'node:fs'
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

/** Reads the table that scripts/docs.mjs writes, because this runs before the first build. */
function flags() {
  const document = readFileSync(`${ROOT}docs/settings.md`, 'utf8')
  const [, settings] = /<!-- settings: [^\n]*\n([^]*?)<!-- \/settings -->/.exec(document)
  return Array.from(
    settings.matchAll(/\| `--([a-z0-9-]+)` \|[^|]*\| (`(?:true|false)`)?/g),
    ([, flag, isSwitch]) => ({ flag, isSwitch: isSwitch !== undefined }),
  )
}
