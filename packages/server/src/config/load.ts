import type { z } from 'zod'
import { leavesOf, settingWithin, type Leaf } from './settings.js'

/** A problem of a setting, without its source. */
export interface SettingProblem {
  /** The setting, such as `times.beatMs`. Empty for the configuration as a whole. */
  path: string
  problem: string
  /** Other settings that the rule reads. If one of them is wrong itself, this problem is left out. */
  because?: readonly string[]
}

/** A problem of the configuration. */
export interface Problem extends SettingProblem {
  /** Where the value came from: a flag, a variable, or file:line. */
  source: string
}

/** The settings of one source: the command line, the environment or the file. */
export interface Layer {
  values: Map<string, Given>
  problems: Problem[]
  /** Nobody knows what it says. So nobody knows what is missing. */
  isUnread?: true
}

/** Stands for a section of a mapping of sections that has no settings: an app that is only listed. */
export const EMPTY_SECTION = Symbol('a section without settings')

export interface Given {
  value: unknown
  source: string
  /** The files that hold the value, if it is secret. */
  files?: readonly string[]
}

export type Loaded<T> =
  | {
      ok: true
      config: T
      /** Where each setting came from, except defaults. */
      sources: ReadonlyMap<string, string>
      /** The files that hold secrets. */
      secretFiles: readonly string[]
    }
  | { ok: false; problems: Problem[] }

/** The settings of a program: a node, or the standalone P2P server. */
export interface Definition<T> {
  schema: z.ZodType<T>
  /** The prefix of its environment variables. */
  prefix: string
  leaves: readonly Leaf[]
  /** Checks the rules between settings, which no single setting can show. */
  check: (config: T) => SettingProblem[]
}

export function define<T>(
  schema: z.ZodObject & z.ZodType<T>,
  prefix: string,
  check: Definition<T>['check'] = () => [],
): Definition<T> {
  return { schema, prefix, leaves: leavesOf(schema, prefix), check }
}

/**
 * Merges layers, the strongest first, and checks the result. It reports all problems at once, so that one does not hide
 * another.
 */
export function resolve<T>(definition: Definition<T>, layers: readonly Layer[]): Loaded<T> {
  const given = new Map<string, Given>()
  for (const layer of layers)
    for (const [path, value] of layer.values) if (!given.has(path)) given.set(path, value)

  const problems = layers.flatMap((layer) => layer.problems)
  const broken = new Set(
    problems.map(({ path }) => settingWithin(definition.leaves, path.split('.'))?.path ?? path),
  )
  const first = definition.schema.safeParse(nest(given))
  if (!first.success) {
    for (const issue of first.error.issues) {
      const within = settingWithin(definition.leaves, issue.path)
      const path = within?.path ?? issue.path.join('.')
      const found = given.get(path)
      broken.add(path)
      problems.push({
        path: [path, ...issue.path.slice(path.split('.').length)].join('.'),
        source: found?.source ?? 'default',
        problem:
          issue.message +
          (within === undefined ? '' : actual(within.leaf, at(found?.value, issue.path, path))),
      })
    }
  }
  // A broken setting counts as not set, so that the rules between the other settings can still be checked.
  for (const path of given.keys()) if ([...broken].some((wrong) => isIn(path, wrong))) given.delete(path)
  const whole = definition.schema.safeParse(nest(given))
  const isKnown = !layers.some(({ isUnread = false }) => isUnread)
  if (whole.success && isKnown) problems.push(...problemsBetween(definition, whole.data, given, broken))
  if (problems.length > 0 || !whole.success) return { ok: false, problems: distinct(problems) }
  return {
    ok: true,
    config: whole.data,
    sources: new Map([...given].map(([path, { source }]) => [path, source])),
    secretFiles: [...new Set([...given.values()].flatMap(({ files = [] }) => files))],
  }
}

/** Problems between settings. A section with a broken setting is left out, because its problems would only repeat that. */
function problemsBetween<T>(
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
    .filter(({ because = [] }) => !because.some((read) => [...broken].some((path) => isIn(path, read))))
    .map(({ path, problem }) => ({ path, source: given.get(path)?.source ?? 'default', problem }))
}

const isIn = (path: string, section: string): boolean => path === section || path.startsWith(`${section}.`)

interface Nested {
  [key: string]: unknown
}

function nest(given: ReadonlyMap<string, Given>): Nested {
  const root: Nested = {}
  for (const [path, { value }] of given) {
    const keys = path.split('.')
    const section = keys.slice(0, -1).reduce(sectionAt, root)
    if (value === EMPTY_SECTION) sectionAt(section, keys.at(-1) ?? '')
    else section[keys.at(-1) ?? ''] = value
  }
  return root
}

/** The section at a key, which is made if it is not there. An app may be called `constructor`, so only own keys count. */
function sectionAt(section: Nested, key: string): Nested {
  const there = Object.hasOwn(section, key) ? section[key] : undefined
  if (isNested(there)) return there
  const made: Nested = {}
  section[key] = made
  return made
}

const isNested = (value: unknown): value is Nested => typeof value === 'object' && value !== null

/** The wrong item of a list, rather than the whole list. */
function at(value: unknown, path: readonly PropertyKey[], leafPath: string): unknown {
  const rest = path.slice(leafPath.split('.').length)
  return rest.reduce<unknown>((inner, key) => (Array.isArray(inner) ? inner[Number(key)] : undefined), value)
}

const SHOWN_LENGTH = 60

/** Shows the value that was given, unless it is secret. */
function actual(leaf: Leaf, value: unknown): string {
  if (leaf.secret || value === undefined) return ''
  const shown = written(value)
  return `; it is ${shown.length > SHOWN_LENGTH ? `${shown.slice(0, SHOWN_LENGTH)}…` : shown}`
}

/** A value as its reader would write it. An application may pass what no file can hold. */
function written(value: unknown, depth = 0): string {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return JSON.stringify(value)
  if (Array.isArray(value))
    return depth > 1 ? 'a list' : `[${value.map((item) => written(item, depth + 1)).join(', ')}]`
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()]
}

/** The problems, each as one line, as they are printed and logged. */
export function linesOf(problems: readonly Problem[]): string[] {
  return problems.map(
    ({ path, source, problem }) => `${path === '' ? source : `${path} (${source})`}: ${problem}`,
  )
}
