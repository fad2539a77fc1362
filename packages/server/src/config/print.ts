import { Document, isScalar } from 'yaml'
import type { Leaf } from './settings.js'

/** A value as it may be shown. A secret is redacted. Of a secret URL, only the password or token is redacted. */
export function redacted(leaf: Leaf, value: unknown): unknown {
  if (!leaf.secret || value === null || value === undefined) return value
  if (typeof value === 'string' && value.includes('://')) return withoutPassword(value)
  if (Array.isArray(value)) return value.map((item: unknown) => redacted(leaf, item))
  return '[redacted]'
}

/** A URL without its password. A login without a colon may be a token, so it is redacted as a whole. */
function withoutPassword(url: string): string {
  return url.replace(/^([a-z0-9+.-]+:\/\/)([^@/]*)@/i, (_, scheme: string, login: string) => {
    const user = login.split(':')[0] ?? ''
    return login.includes(':') ? `${scheme}${user}:[redacted]@` : `${scheme}[redacted]@`
  })
}

/** The value of a setting in a whole configuration. */
export function valueAt(config: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((section, key) => {
    if (typeof section !== 'object' || section === null) return undefined
    return Object.entries(section).find(([name]) => name === key)?.[1]
  }, config)
}

/** The paths in a configuration that the path of a leaf stands for: `apps.*.origins` is one of each app. */
function pathsOf(path: string, config: unknown): string[] {
  const [section = '', rest] = path.split('.*.')
  if (rest === undefined) return [path]
  const within = valueAt(config, section)
  return typeof within === 'object' && within !== null
    ? Object.keys(within).map((key) => `${section}.${key}.${rest}`)
    : []
}

/** The configuration as a YAML file. Secrets are redacted, and a comment says where each setting came from. */
export function toYaml(
  config: unknown,
  leaves: readonly Leaf[],
  sources: ReadonlyMap<string, string>,
): string {
  const document = new Document({})
  const print = (path: string, value: unknown): void => {
    const keys = path.split('.')
    document.setIn(keys, document.createNode(value))
    const node = document.getIn(keys, true)
    const source = sources.get(path)
    if (source !== undefined && isScalar(node)) node.comment = ` ${source}`
  }
  for (const leaf of leaves) {
    for (const path of pathsOf(leaf.path, config)) {
      const value = valueAt(config, path)
      // Within an app, what is not set is a setting of the node.
      if (value !== undefined) print(path, redacted(leaf, value))
    }
  }
  return document.toString({ lineWidth: 0, nullStr: 'null' })
}

/** The table of settings for the documentation. It is made from the schema, so that it cannot go stale. */
export function toMarkdown(leaves: readonly Leaf[]): string {
  const code = (text: string | undefined): string => (text === undefined ? '' : `\`${text}\``)
  const rows = leaves.map((leaf) => {
    const { path, flag, variable, about } = leaf
    const file = leaf.mayBeFile && variable !== undefined ? `, ${code(`${variable}_FILE`)}` : ''
    const standard = code(leaf.default === null ? undefined : JSON.stringify(leaf.default))
    return `| ${code(path)} | ${code(flag)} | ${code(variable)}${file} | ${standard} | ${about.replaceAll('|', '\\|')} |`
  })
  return ['| setting | flag | variable | default | what it is |', '|---|---|---|---|---|', ...rows].join('\n')
}
