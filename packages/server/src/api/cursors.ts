import type { App } from '@peerage/protocol'

/**
 * A cursor is a place in one list of one app, in base64url. It is no secret: it can only name a place in a list that the
 * same key may read.
 */
export function cursorOf(app: App, list: string, place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([app, list, ...place])).toString('base64url')
}

/** The place of a cursor. Undefined if it is not one of this list of this app. */
export function placeOf(app: App, list: string, cursor: string): unknown[] | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    return undefined
  }
  if (!Array.isArray(parsed)) return undefined
  const [ofApp, ofList, ...place]: unknown[] = parsed
  return ofApp === app && ofList === list ? place : undefined
}

/** Where a page of records begins: after a key, or at the beginning. Undefined: the cursor is not one of this list. */
export function startOf(
  app: App,
  list: string,
  cursor: string | undefined,
): { after: string | undefined } | undefined {
  if (cursor === undefined) return { after: undefined }
  const [after, ...more] = placeOf(app, list, cursor) ?? []
  return typeof after === 'string' && more.length === 0 ? { after } : undefined
}
