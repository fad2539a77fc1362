import { unreadable } from '../lib/unreadable.js'
import type { Definition, Layer } from './load.js'
import { closest, fromText, textLeaves, type TextLeaf } from './settings.js'

/** The sources of settings besides the command line. */
export interface Environment {
  env: Readonly<Record<string, string | undefined>>
  /** Throws the error of the file system. */
  readFile: (path: string) => string
}

/** Matches the service-link variables of Kubernetes: a Service named peerage sets PEERAGE_PORT=tcp://… */
const SERVICE_LINK = /^PEERAGE_(?:.*_)?(?:SERVICE_(?:HOST|PORT(?:_.*)?)|PORT(?:_\d+_(?:TCP|UDP).*)?)$/
const SERVICE_LINK_VALUE = /^(?:tcp|udp):\/\//

function isServiceLink(name: string, value: string): boolean {
  if (!SERVICE_LINK.test(name)) return false
  return name.includes('SERVICE_') || /_(?:TCP|UDP)(?:_|$)/.test(name) || SERVICE_LINK_VALUE.test(value)
}

/** Variables that are no settings: the name of the configuration file, and those of our own tests and containers. */
const OTHER_VARIABLES =
  /^PEERAGE_(?:(?:STUN_)?CONFIG|BIND|TLS_PEM|NODE_\d+|ADMIN_SOCKET|TUNNEL_TIMEOUT|CHECK_INTERVAL|(?:TEST|BENCH|CHAOS)_.*)$/

/**
 * Reads settings from the environment. An empty variable counts as not set. `isWanted`: which settings are wanted, by their
 * paths. The values of others, and the files of these, are not read.
 */
export function readEnvironment(
  { leaves, prefix }: Pick<Definition<unknown>, 'leaves' | 'prefix'>,
  { env, readFile }: Environment,
  isWanted: (path: string) => boolean = () => true,
): Layer {
  const layer: Layer = { values: new Map(), problems: [] }
  const written = textLeaves(leaves)
  const known = new Map(written.map((leaf) => [leaf.variable, leaf]))
  const files = new Map(
    written.filter((leaf) => leaf.mayBeFile).map((leaf) => [`${leaf.variable}_FILE`, leaf]),
  )
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(prefix) || text === undefined || text === '') continue
    if (prefix === 'PEERAGE_' && name.startsWith('PEERAGE_STUN_')) continue
    if (OTHER_VARIABLES.test(name) || isServiceLink(name, text)) continue
    const leaf = known.get(name)
    const file = files.get(name)
    const path = leaf?.path ?? file?.path
    if (path !== undefined && !isWanted(path)) continue
    if (leaf !== undefined) {
      layer.values.set(leaf.path, { value: fromText(leaf.kind, text), source: name })
    } else if (file === undefined) {
      const near = closest(name, [...known.keys(), ...files.keys()])
      const hint = near === undefined ? '' : `; did you mean ${near}?`
      layer.problems.push({
        path: name,
        source: 'environment',
        problem: `is not a variable of peerage${hint}`,
      })
    } else if ((env[file.variable] ?? '') === '') {
      readValue(file, { name, path: text, readFile, layer })
    } else {
      layer.problems.push({
        path: file.path,
        source: name,
        problem: `is set, and ${file.variable} is set too: unset one of them`,
      })
    }
  }
  return layer
}

function readValue(
  leaf: TextLeaf,
  from: { name: string; path: string; readFile: Environment['readFile']; layer: Layer },
): void {
  const read = textOf(from.path, from.readFile)
  const files = leaf.secret ? [from.path] : []
  if (read.ok)
    from.layer.values.set(leaf.path, { value: fromText(leaf.kind, read.text), source: from.name, files })
  else from.layer.problems.push({ path: leaf.path, source: from.name, problem: read.problem })
}

type FileText = { ok: true; text: string } | { ok: false; problem: string }

/** The text of a file that holds one value. */
function textOf(path: string, readFile: Environment['readFile']): FileText {
  try {
    // Editors and `echo` end a file with a line break, which is not part of the secret.
    return { ok: true, text: readFile(path).replace(/\r?\n$/, '') }
  } catch (error) {
    return { ok: false, problem: unreadable(path, error) }
  }
}

export type Value =
  | { ok: true; value: unknown }
  /** `at`: the index of the item of a list that is wrong. */
  | { ok: false; problems: { problem: string; at?: number }[] }

/** Reads the files that `{ file: path }` names, in a value or in the items of a list. */
export function withFiles(value: unknown, readFile: Environment['readFile']): Value {
  if (!Array.isArray(value)) {
    const read = withFile(value, readFile)
    return read.ok ? read : { ok: false, problems: [read] }
  }
  const items = value.map((item) => withFile(item, readFile))
  const problems = items.flatMap((item, at) => (item.ok ? [] : [{ problem: item.problem, at }]))
  if (problems.length > 0) return { ok: false, problems }
  return { ok: true, value: items.flatMap((item) => (item.ok ? [item.value] : [])) }
}

type Item = { ok: true; value: unknown } | { ok: false; problem: string }

function withFile(value: unknown, readFile: Environment['readFile']): Item {
  const file = fileOf(value)
  if (file === undefined) return { ok: true, value }
  const read = textOf(file, readFile)
  return read.ok ? { ok: true, value: read.text } : read
}

/** The path in `{ file: path }`. Undefined for any other value. */
function fileOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('file' in value)) return undefined
  const { file, ...rest } = value
  return typeof file === 'string' && Object.keys(rest).length === 0 ? file : undefined
}

/** The files that a value, or the items of a list, name. */
export function filesOf(value: unknown): string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : [value]
  return items.map(fileOf).filter((file) => file !== undefined)
}
