import { Document, isScalar } from 'yaml'
import type { Leaf } from './settings.js'

/** A value that may be shown: of a secret only that it is there, of a URL all but its login. */
export function redacted(leaf: Leaf, value: unknown): unknown {
  if (!leaf.secret || value === null || value === undefined) return value
  if (typeof value === 'string' && value.includes('://')) return withoutPassword(value)
  return '[redacted]'
}

/** A URL as it may be shown: without its password. */
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

/** The configuration as a file would say it, secrets redacted, each setting with where it came from. */
export function toYaml(
  config: unknown,
  leaves: readonly Leaf[],
  sources: ReadonlyMap<string, string>,
): string {
  const document = new Document({})
  for (const leaf of leaves) {
    const keys = leaf.path.split('.')
    document.setIn(keys, document.createNode(redacted(leaf, valueAt(config, leaf.path))))
    const node = document.getIn(keys, true)
    const source = sources.get(leaf.path)
    if (source !== undefined && isScalar(node)) node.comment = ` ${source}`
  }
  return document.toString({ lineWidth: 0, nullStr: 'null' })
}

/** One row a setting, for the README: made from the schema, so that it cannot go stale. */
export function toMarkdown(leaves: readonly Leaf[]): string {
  const rows = leaves.map((leaf) => {
    const variable = leaf.secret ? `\`${leaf.variable}\`, \`${leaf.variable}_FILE\`` : `\`${leaf.variable}\``
    const standard = leaf.default === null ? '' : `\`${JSON.stringify(leaf.default)}\``
    return `| \`${leaf.path}\` | \`${leaf.flag}\` | ${variable} | ${standard} | ${leaf.about.replaceAll('|', '\\|')} |`
  })
  return ['| setting | flag | variable | default | what it is |', '|---|---|---|---|---|', ...rows].join('\n')
}
