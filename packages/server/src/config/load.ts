import type { z } from 'zod'
import { closest, fromText, type Leaf } from './settings.js'

/** One thing that is wrong with the configuration. `source` says where it was said: a flag, a variable, file:line. */
export interface Problem {
  /** The setting, such as `times.beatMs`; empty for the whole. */
  path: string
  source: string
  problem: string
}

/** What one source says: a value for each setting that it names. */
export interface Layer {
  values: Map<string, Given>
  problems: Problem[]
}

export interface Given {
  value: unknown
  source: string
}

export type Loaded<T> =
  /** `sources`: where each setting that is not a default came from. */
  { ok: true; config: T; sources: ReadonlyMap<string, string> } | { ok: false; problems: Problem[] }

export interface Definition<T> {
  schema: z.ZodType<T>
  leaves: readonly Leaf[]
  /** What no single setting can tell: how they fit together. */
  check: (config: T) => { path: string; problem: string }[]
}

/**
 * Puts layers together, the strongest first, and checks the whole. Every problem is found in one go: a bad
 * setting does not hide another one.
 */
export function resolve<T>(definition: Definition<T>, layers: readonly Layer[]): Loaded<T> {
  const given = new Map<string, Given>()
  for (const layer of layers)
    for (const [path, value] of layer.values) if (!given.has(path)) given.set(path, value)

  const problems = layers.flatMap((layer) => layer.problems)
  const broken = new Set(problems.map((problem) => problem.path))
  const first = definition.schema.safeParse(nest(given))
  if (!first.success) {
    for (const issue of first.error.issues) {
      const leaf = leafOf(definition.leaves, issue.path)
      const found = leaf === undefined ? undefined : given.get(leaf.path)
      const path = leaf?.path ?? issue.path.join('.')
      broken.add(path)
      problems.push({
        path: [path, ...issue.path.slice(path.split('.').length)].join('.'),
        source: found?.source ?? 'default',
        problem: issue.message + (leaf === undefined ? '' : butWas(leaf, at(found?.value, issue.path, path))),
      })
    }
  }
  // What is broken counts as not set, so that the rest can still be held against each other.
  for (const path of broken) given.delete(path)
  const whole = definition.schema.safeParse(nest(given))
  if (whole.success) problems.push(...misfits(definition, whole.data, given, broken))
  if (problems.length > 0 || !whole.success) return { ok: false, problems: distinct(problems) }
  return {
    ok: true,
    config: whole.data,
    sources: new Map([...given].map(([path, { source }]) => [path, source])),
  }
}

/** Problems between settings; those of a section in which one is broken anyway would only repeat it. */
function misfits<T>(
  definition: Definition<T>,
  config: T,
  given: ReadonlyMap<string, Given>,
  broken: ReadonlySet<string>,
): Problem[] {
  const sectionOf = (path: string): string => path.split('.').slice(0, -1).join('.')
  const brokenSections = new Set([...broken].map(sectionOf).filter((section) => section !== ''))
  return definition
    .check(config)
    .filter(({ path }) => !broken.has(path) && !brokenSections.has(sectionOf(path)))
    .map(({ path, problem }) => ({ path, source: given.get(path)?.source ?? 'default', problem }))
}

function nest(given: ReadonlyMap<string, Given>): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const [path, { value }] of given) {
    const keys = path.split('.')
    let section = root
    for (const key of keys.slice(0, -1)) {
      const inner = section[key] ?? {}
      section[key] = inner
      section = inner as Record<string, unknown>
    }
    section[keys.at(-1) ?? ''] = value
  }
  return root
}

function leafOf(leaves: readonly Leaf[], path: readonly PropertyKey[]): Leaf | undefined {
  const dotted = path.join('.')
  return leaves.find((leaf) => dotted === leaf.path || dotted.startsWith(`${leaf.path}.`))
}

/** The item of a list that is wrong, not the whole list. */
function at(value: unknown, path: readonly PropertyKey[], leafPath: string): unknown {
  const rest = path.slice(leafPath.split('.').length)
  return rest.reduce<unknown>((inner, key) => (Array.isArray(inner) ? inner[Number(key)] : undefined), value)
}

const SHOWN_LENGTH = 60

function butWas(leaf: Leaf, value: unknown): string {
  if (leaf.secret || value === undefined) return ''
  const shown = JSON.stringify(value)
  return `; it is ${shown.length > SHOWN_LENGTH ? `${shown.slice(0, SHOWN_LENGTH)}…` : shown}`
}

function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}

/** What a variable of Kubernetes' service links looks like: a Service named peerage makes PEERAGE_PORT=tcp://… */
const SERVICE_LINK = /^PEERAGE_(?:.*_)?(?:SERVICE_(?:HOST|PORT(?:_.*)?)|PORT(?:_\d+_(?:TCP|UDP).*)?)$/
const SERVICE_LINK_VALUE = /^(?:tcp|udp):\/\//

function isServiceLink(name: string, value: string): boolean {
  if (!SERVICE_LINK.test(name)) return false
  return name.includes('SERVICE_') || /_(?:TCP|UDP)(?:_|$)/.test(name) || SERVICE_LINK_VALUE.test(value)
}

export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>
  /** Throws what the file system says. */
  readFile: (path: string) => string
}

/** The variables that name no setting: which file to read, and what our own tests and containers use. */
const OTHER_VARIABLES =
  /^PEERAGE_(?:(?:STUN_)?CONFIG|BIND|TLS_PEM|NODE_\d+|ADMIN_SOCKET|TUNNEL_TIMEOUT|CHECK_INTERVAL|(?:TEST|BENCH|CHAOS)_.*)$/

/** What the environment says. An empty variable is one that was not set. */
export function readEnvironment(
  leaves: readonly Leaf[],
  prefix: string,
  { env, readFile }: Surroundings,
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
        problem: `is set, and so is ${file.variable}: unset one`,
      })
    }
  }
  return layer
}

function readSecret(
  leaf: Leaf,
  from: { name: string; path: string; readFile: Surroundings['readFile']; layer: Layer },
): void {
  try {
    // Editors and echo end a file with a line break that is not part of the secret.
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

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
