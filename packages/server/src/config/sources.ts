import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  type Document,
  type YAMLMap,
} from 'yaml'
import { reasonOf } from '../lib/reason.js'
import { EMPTY_SECTION, type Definition, type Layer } from './load.js'
import { closest, didYouMean, fromText, placeOf, textLeaves, type Leaf, type TextLeaf } from './settings.js'

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

/** Reads settings from the environment. An empty variable counts as not set. */
export function readEnvironment(
  { leaves, prefix }: Pick<Definition<unknown>, 'leaves' | 'prefix'>,
  { env, readFile }: Environment,
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
    return { ok: false, problem: `cannot be read: ${reasonOf(error)}` }
  }
}

type Value = { ok: true; value: unknown } | { ok: false; problem: string }

/** Reads the files that `{ file: path }` names, in a value or in the items of a list. */
export function withFiles(value: unknown, readFile: Environment['readFile']): Value {
  if (!Array.isArray(value)) return withFile(value, readFile)
  const items = value.map((item) => withFile(item, readFile))
  const wrong = items.find((item) => !item.ok)
  return wrong ?? { ok: true, value: items.flatMap((item) => (item.ok ? [item.value] : [])) }
}

function withFile(value: unknown, readFile: Environment['readFile']): Value {
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
function filesOf(value: unknown): string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : [value]
  return items.map(fileOf).filter((file) => file !== undefined)
}

/** Reads settings from a YAML file, each with its line. Unknown keys are problems. */
export function readYaml(
  file: string,
  text: string,
  leaves: readonly Leaf[],
  readFile: Environment['readFile'],
): Layer {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const where = (offset: number): string => `${file}:${lines.linePos(offset).line}`
  const layer: Layer = { values: new Map(), problems: [] }
  for (const error of document.errors)
    layer.problems.push({ path: '', source: where(error.pos[0]), problem: `is not YAML: ${error.message}` })
  if (layer.problems.length > 0) return layer
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) return layer
  if (!isMap(root)) {
    layer.problems.push({ path: '', source: file, problem: 'must be a mapping of settings' })
    return layer
  }
  readSection(root, '', { document, leaves, layer, where, readFile })
  return layer
}

interface YamlContext {
  document: Document
  leaves: readonly Leaf[]
  layer: Layer
  where: (offset: number) => string
  readFile: Environment['readFile']
}

function readSection(section: YAMLMap, prefix: string, context: YamlContext): void {
  const { document, leaves, layer, where, readFile } = context
  for (const { key, value: written } of section.items) {
    // Apps with the same settings may share them by an anchor.
    const value = isAlias(written) ? (written.resolve(document) ?? written) : written
    const source = where(isScalar(key) ? (key.range?.[0] ?? 0) : 0)
    const path = `${prefix}${isScalar(key) ? String(key.value) : String(key)}`
    const wrong = (problem: string): void => void layer.problems.push({ path, source, problem })
    const isEmpty = value === null || (isScalar(value) && value.value === null)
    const place = placeOf(leaves, path)
    switch (place.type) {
      case 'unknown':
        wrong(`is not a setting${didYouMean(path, leaves)}`)
        break
      case 'setting': {
        // A key without a value counts as not set.
        if (isEmpty) break
        const plain = plainOf(value, document)
        const read = plain.ok && place.leaf.mayBeFile ? withFiles(plain.value, readFile) : plain
        const files = plain.ok && place.leaf.secret ? filesOf(plain.value) : []
        if (read.ok) layer.values.set(path, { value: read.value, source, files })
        else wrong(read.problem)
        break
      }
      case 'section':
        // The name of an app says something without any settings: the app is served.
        if (place.isKeyed) layer.values.set(path, { value: EMPTY_SECTION, source })
        if (isMap(value)) readSection(value, `${path}.`, context)
        else if (!isEmpty) wrong('must be a mapping, because it is a section of settings')
    }
  }
}

/** The value of a setting in the file, without anchors. */
function plainOf(value: unknown, document: Document): Value {
  try {
    const plain: unknown = isNode(value) ? value.toJS(document) : value
    // A list that contains itself by an anchor has no end.
    JSON.stringify(plain)
    return { ok: true, value: plain }
  } catch (error) {
    return { ok: false, problem: `cannot be read: ${reasonOf(error).split('\n')[0]}` }
  }
}
