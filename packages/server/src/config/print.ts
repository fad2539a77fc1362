import { Document, isCollection } from 'yaml'
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

/** A setting as it is printed. */
export interface PrintedSetting {
  /** Such as `port` or `apps.chat.origins`. */
  path: string
  value: unknown
  /** Where it came from. Undefined: it is the default. */
  source: string | undefined
}

/** Settings as a YAML file. A comment says where each setting came from. */
export function toYaml(settings: readonly PrintedSetting[]): string {
  const document = new Document({})
  for (const { path, value, source } of settings) {
    const keys = path.split('.')
    const node = document.createNode(value)
    document.setIn(keys, node)
    if (source === undefined) continue
    // The comment of a list is above its first item.
    if (isCollection(node) && node.items.length > 0) node.commentBefore = ` ${source}`
    else {
      if (isCollection(node)) node.flow = true
      node.comment = ` ${source}`
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
