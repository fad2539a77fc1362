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
import { EMPTY_SECTION, type Layer } from './load.js'
import { placeOf, unknownSetting, type Leaf } from './settings.js'
import { filesOf, withFiles, type Environment, type Value } from './sources.js'
import { problemsOfYaml } from './yaml-problems.js'

export interface YamlFile {
  /** Its name, as problems show it. */
  name: string
  text: string
}

export interface YamlOptions {
  leaves: readonly Leaf[]
  readFile: Environment['readFile']
  /** Which settings are wanted, by their paths. The values of others, and the files of these, are not read. Default: all. */
  isWanted?: (path: string) => boolean
}

/** Reads settings from a YAML file, each with its line. Unknown keys are problems. */
export function readYaml({ name, text }: YamlFile, options: YamlOptions): Layer {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const lineOf = (offset: number): number => lines.linePos(offset).line
  const layer: Layer = { values: new Map(), problems: [] }
  const found = problemsOfYaml(document, text, lineOf)
  for (const { path, line, problem } of found.problems)
    layer.problems.push({ path, source: `${name}:${line}`, problem })
  if (!found.isReadable) return layer
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) return layer
  if (!isMap(root)) {
    layer.problems.push({ path: '', source: name, problem: 'must be a mapping of settings' })
    return layer
  }
  const where = (offset: number): string => `${name}:${lineOf(offset)}`
  readSection(root, '', { ...options, document, layer, where })
  return layer
}

interface YamlContext extends YamlOptions {
  document: Document
  layer: Layer
  where: (offset: number) => string
}

function readSection(section: YAMLMap, prefix: string, context: YamlContext): void {
  const { document, leaves, layer, where } = context
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
        wrong(unknownSetting(path, leaves))
        break
      case 'setting':
        // A key without a value counts as not set.
        if (!isEmpty) readSetting(value, { path, source, leaf: place.leaf }, context)
        break
      case 'section':
        // The name of an app says something without any settings: the app is served.
        if (place.isKeyed) layer.values.set(path, { value: EMPTY_SECTION, source })
        if (isMap(value)) readSection(value, `${path}.`, context)
        else if (!isEmpty) {
          const hasSwitch = placeOf(leaves, `${path}.enabled`).type === 'setting'
          const advice = hasSwitch ? `, such as ${path.split('.').at(-1)}: { enabled: true }` : ''
          wrong(`must be a mapping, because it is a section of settings${advice}`)
        }
    }
  }
}

function readSetting(
  value: unknown,
  { path, source, leaf }: { path: string; source: string; leaf: Leaf },
  { document, layer, readFile, isWanted }: YamlContext,
): void {
  if (isWanted?.(path) === false) return
  const plain = plainOf(value, document)
  const read = plain.ok && leaf.mayBeFile ? withFiles(plain.value, readFile) : plain
  const files = plain.ok && leaf.secret ? filesOf(plain.value) : []
  if (read.ok) layer.values.set(path, { value: read.value, source, files })
  else
    for (const { at, problem } of read.problems)
      layer.problems.push({ path: at === undefined ? path : `${path}.${at}`, source, problem })
}

/** The value of a setting in the file, without anchors. */
function plainOf(value: unknown, document: Document): Value {
  try {
    const plain: unknown = isNode(value) ? value.toJS(document) : value
    // A list that contains itself by an anchor has no end.
    JSON.stringify(plain)
    return { ok: true, value: plain }
  } catch (error) {
    return { ok: false, problems: [{ problem: `cannot be read: ${reasonOf(error).split('\n')[0]}` }] }
  }
}
