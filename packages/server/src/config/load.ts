import type { z } from 'zod'
import { leavesOf, type Leaf } from './settings.js'

/** What is wrong with a setting. */
export interface Misfit {
  /** The setting, such as `times.beatMs`; empty for the whole. */
  path: string
  problem: string
}

/** One thing that is wrong with the configuration. */
export interface Problem extends Misfit {
  /** Where it was said: a flag, a variable, file:line. */
  source: string
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

/** What a program can be told: a node, or the standalone P2P server. */
export interface Definition<T> {
  schema: z.ZodType<T>
  /** What its variables begin with. */
  prefix: string
  leaves: readonly Leaf[]
  /** What no single setting can tell: how they fit together. */
  check: (config: T) => Misfit[]
}

export function define<T>(
  schema: z.ZodObject & z.ZodType<T>,
  prefix: string,
  check: Definition<T>['check'] = () => [],
): Definition<T> {
  return { schema, prefix, leaves: leavesOf(schema, prefix), check }
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
