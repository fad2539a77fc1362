import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document, type YAMLMap } from 'yaml'
import { didYouMean, type Leaf } from './settings.js'
import type { Layer, Problem } from './load.js'

/** Reads a YAML file into one value for each setting, each with its line. Unknown keys are problems. */
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

interface Reading {
  document: Document
  leaves: readonly Leaf[]
  layer: Layer
  where: (offset: number) => string
}

function readSection(section: YAMLMap, prefix: string, reading: Reading): void {
  for (const { key, value } of section.items) {
    const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0
    const source = reading.where(offset)
    const path = `${prefix}${isScalar(key) ? String(key.value) : String(key)}`
    const problem = (text: string): Problem => ({ path, source, problem: text })
    const leaf = reading.leaves.find((known) => known.path === path)
    if (leaf !== undefined) {
      const plain: unknown = isNode(value) ? value.toJS(reading.document) : null
      // `key:` with nothing behind it is a setting that was not set.
      if (plain !== null) reading.layer.values.set(path, { value: plain, source })
    } else if (!reading.leaves.some((known) => known.path.startsWith(`${path}.`))) {
      reading.layer.problems.push(problem(`is not a setting${didYouMean(path, reading.leaves)}`))
    } else if (isMap(value)) {
      readSection(value, `${path}.`, reading)
    } else if (!(value === null || (isScalar(value) && value.value === null))) {
      reading.layer.problems.push(problem('must be a mapping: it holds settings'))
    }
  }
}
