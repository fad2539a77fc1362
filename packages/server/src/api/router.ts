import type { Problem } from './problems.js'
import type { Route } from './route.js'

interface Entry {
  id: string
  route: Route
  segments: readonly string[]
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE']

export type Found =
  | { ok: true; id: string; route: Route; params: Record<string, string> }
  | { ok: false; problem: Problem }

/**
 * Finds the operation of a path. Segments are compared before they are decoded, so a name may have a slash in it, written
 * as `%2F`.
 */
export class Router {
  readonly #entries: readonly Entry[]

  constructor(routes: Readonly<Record<string, Route>>) {
    const entries = Object.entries(routes).map(([id, route]) => ({
      id,
      route,
      segments: route.operation.path.split('/'),
    }))
    // A path without parameters goes before one with them.
    this.#entries = entries.sort((a, b) => parametersIn(a) - parametersIn(b))
  }

  /** `path` is below the base. Undefined: no operation has this path. */
  find(method: string, path: string): Found | undefined {
    const segments = path.split('/')
    const fitting = this.#entries.filter((entry) => fits(entry.segments, segments))
    const entry = fitting.find(({ route }) => route.operation.method === method)
    if (entry !== undefined) return read(entry, segments)
    if (fitting.length === 0) return undefined
    const allow = METHODS.filter((one) =>
      fitting.some(({ route }) => route.operation.method === (one === 'HEAD' ? 'GET' : one)),
    )
    return {
      ok: false,
      problem: { code: 'method-not-allowed', detail: `this path takes ${allow.join(', ')}`, allow },
    }
  }
}

function parametersIn({ segments }: Entry): number {
  return segments.filter(isParameter).length
}

function isParameter(segment: string): boolean {
  return segment.startsWith('{')
}

function fits(wanted: readonly string[], given: readonly string[]): boolean {
  return (
    wanted.length === given.length &&
    wanted.every((one, i) => (isParameter(one) ? given[i] !== '' : one === given[i]))
  )
}

function read({ id, route, segments }: Entry, given: readonly string[]): Found {
  const params: Record<string, string> = {}
  for (const [i, segment] of segments.entries()) {
    if (!isParameter(segment)) continue
    const name = segment.slice(1, -1)
    try {
      params[name] = decodeURIComponent(given[i] ?? '')
    } catch {
      const at = `path.${name}`
      const errors = [{ at, detail: 'must be UTF-8 in percent-encoding' }]
      return {
        ok: false,
        problem: { code: 'bad-request', detail: `${at}: must be UTF-8 in percent-encoding`, errors },
      }
    }
  }
  return { ok: true, id, route, params }
}
