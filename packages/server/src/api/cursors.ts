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
