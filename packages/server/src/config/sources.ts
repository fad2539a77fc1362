import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document, type YAMLMap } from 'yaml'
import { reasonOf } from '../lib/reason.js'
import type { Definition, Layer, Problem } from './load.js'
import { closest, didYouMean, fromText, type Leaf } from './settings.js'

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
  const known = new Map(leaves.map((leaf) => [leaf.variable, leaf]))
  const files = new Map(leaves.filter((leaf) => leaf.secret).map((leaf) => [`${leaf.variable}_FILE`, leaf]))
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
      readSecret(file, { name, path: text, readFile, layer })
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

function readSecret(
  leaf: Leaf,
  from: { name: string; path: string; readFile: Environment['readFile']; layer: Layer },
): void {
  try {
    // Editors and `echo` end a file with a line break, which is not part of the secret.
    const secret = from.readFile(from.path).replace(/\r?\n$/, '')
    from.layer.values.set(leaf.path, { value: secret, source: from.name })
  } catch (error) {
    from.layer.problems.push({
      path: leaf.path,
      source: from.name,
      problem: `cannot be read: ${reasonOf(error)}`,
    })
  }
}

/** Reads settings from a YAML file, each with its line. Unknown keys are problems. */
export function readYaml(file: string, text: string, leaves: readonly Leaf[]): Layer {
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
  readSection(root, '', { document, leaves, layer, where })
  return layer
}

interface YamlContext {
  document: Document
  leaves: readonly Leaf[]
  layer: Layer
  where: (offset: number) => string
}

function readSection(section: YAMLMap, prefix: string, context: YamlContext): void {
  for (const { key, value } of section.items) {
    const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0
    const source = context.where(offset)
    const path = `${prefix}${isScalar(key) ? String(key.value) : String(key)}`
    const problem = (text: string): Problem => ({ path, source, problem: text })
    const leaf = context.leaves.find((known) => known.path === path)
    if (leaf !== undefined) {
      const plain: unknown = isNode(value) ? value.toJS(context.document) : null
      // A key without a value counts as not set.
      if (plain !== null) context.layer.values.set(path, { value: plain, source })
    } else if (!context.leaves.some((known) => known.path.startsWith(`${path}.`))) {
      context.layer.problems.push(problem(`is not a setting${didYouMean(path, context.leaves)}`))
    } else if (isMap(value)) {
      readSection(value, `${path}.`, context)
    } else if (!(value === null || (isScalar(value) && value.value === null))) {
      context.layer.problems.push(problem('must be a mapping, because it is a section of settings'))
    }
  }
}
