import type { App, Parsed } from '@peerage/protocol'
import { limits as wireLimits, parseApp } from '@peerage/protocol'

/**
 * What the URL of an upgrade says of a peer. The clients of some wires have no field for an app or a token, but an
 * application can give them any URL.
 */
export interface UrlCredentials {
  /** Undefined if the URL names none. */
  app: App | undefined
  /** From `?token=` or `?key=`. Undefined if the URL has neither. */
  token: string | undefined
}

/**
 * Reads `{endpoint}/{app}/…?token=…`. The app may be left out. What follows it means nothing.
 *
 * @example
 * ```ts
 * credentialsBelow('/y-webrtc', '/y-webrtc/chess/1', '?key=s3cret') // { app: 'chess', token: 's3cret' }
 * ```
 */
export function credentialsBelow(endpoint: string, path: string, query: string): Parsed<UrlCredentials> {
  const token = tokenOf(query)
  if (!token.ok) return token
  const below = path.slice(endpoint.length + 1)
  if (below === '') return { ok: true, value: { app: undefined, token: token.value } }
  const app = parseApp(below.split('/', 1)[0])
  return app.ok ? { ok: true, value: { app: app.value, token: token.value } } : app
}

/** Reads `?app=…&token=…`, for a wire whose path says something else. */
export function credentialsOfQuery(query: string): Parsed<UrlCredentials> {
  const token = tokenOf(query)
  if (!token.ok) return token
  const named = last(new URLSearchParams(query), 'app')
  if (named === undefined) return { ok: true, value: { app: undefined, token: token.value } }
  const app = parseApp(named)
  return app.ok ? { ok: true, value: { app: app.value, token: token.value } } : app
}

/** The path of a request, and its query with the `?`, or empty. */
export function splitUrl(url = ''): { path: string; query: string } {
  const end = url.indexOf('?')
  return end < 0 ? { path: url, query: '' } : { path: url.slice(0, end), query: url.slice(end) }
}

function tokenOf(query: string): Parsed<string | undefined> {
  const asked = new URLSearchParams(query)
  const token = last(asked, 'token') ?? last(asked, 'key')
  if (token !== undefined && token.length > wireLimits.tokenLength)
    return { ok: false, problem: `token must be at most ${wireLimits.tokenLength} characters` }
  return { ok: true, value: token }
}

/** If a parameter comes twice, the last one counts. An empty one counts as absent. */
function last(query: URLSearchParams, name: string): string | undefined {
  return query.getAll(name).at(-1) || undefined
}
