import { Document, isScalar } from 'yaml'
import type { Leaf } from './settings.js'

/** A value as it may be shown. A secret is redacted. Of a secret URL, only the password or token is redacted. */
export function redacted(leaf: Leaf, value: unknown): unknown {
  if (!leaf.secret || value === null || value === undefined) return value
  if (typeof value === 'string' && value.includes('://')) return withoutPassword(value)
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

/** The configuration as a YAML file. Secrets are redacted, and a comment says where each setting came from. */
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

/** The table of settings for the documentation. It is made from the schema, so that it cannot go stale. */
export function toMarkdown(leaves: readonly Leaf[]): string {
  const rows = leaves.map((leaf) => {
    const variable = leaf.secret ? `\`${leaf.variable}\`, \`${leaf.variable}_FILE\`` : `\`${leaf.variable}\``
    const standard = leaf.default === null ? '' : `\`${JSON.stringify(leaf.default)}\``
    return `| \`${leaf.path}\` | \`${leaf.flag}\` | ${variable} | ${standard} | ${leaf.about.replaceAll('|', '\\|')} |`
  })
  return ['| setting | flag | variable | default | what it is |', '|---|---|---|---|---|', ...rows].join('\n')
}
