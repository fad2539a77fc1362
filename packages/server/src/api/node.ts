import type { Node } from '@peerage/core'
import type { App, Name, Room } from '@peerage/protocol'

export interface RoomMember {
  name: Name
  state: 'online' | 'away' | 'offline'
  since?: number
}

/** Whom to disconnect: the holder of a name, or every peer with an identity or a token. */
export type Whom = { name: Name } | { identity: string } | { tokenId: string }

/** What the API needs of its node. */
export interface ApiNode extends Pick<
  Node,
  | 'id'
  | 'count'
  | 'draining'
  | 'list'
  | 'recovering'
  | 'sessions'
  | 'router'
  | 'watchers'
  | 'open'
  | 'claim'
  | 'end'
  | 'leave'
  | 'lookup'
> {
  disconnect(
    app: App,
    whom: Whom,
    options: { code: number; text: string; before?: number },
  ): Promise<{ closed: number | undefined }>
  readonly rooms: {
    sayFrom(app: App, room: Room, frame: string): Promise<'sent' | 'unavailable'>
    page(app: App, room: Room, after?: Name): Promise<{ members: readonly RoomMember[]; more: boolean }>
  }
}

type RecordKind = 'bans' | 'servers'

/** Small texts of an app that end by themselves. All methods reject with RegistryUnavailable. */
export interface Records {
  put(
    app: App,
    kind: RecordKind,
    key: string,
    value: string,
    ttlMs: number,
    most: number,
  ): Promise<'put' | 'full'>
  get(app: App, kind: RecordKind, keys: readonly string[]): Promise<(string | undefined)[]>
  delete(app: App, kind: RecordKind, key: string): Promise<boolean>
  page(
    app: App,
    kind: RecordKind,
    after: string | undefined,
    most: number,
  ): Promise<{ records: { key: string; value: string; endsInMs: number }[]; more: boolean }>
}

/** Answers to requests with an Idempotency-Key. All methods reject with RegistryUnavailable. */
export interface Answers {
  /** Stores `value` if there is none. Resolves with what was stored before, or undefined. */
  begin(app: App, key: string, value: string, ttlMs: number): Promise<string | undefined>
  finish(app: App, key: string, value: string, ttlMs: number): Promise<void>
  forget(app: App, key: string): Promise<void>
}

/** What the API needs of the configured apps. */
export interface ApiApps {
  /** The keys of each app that has the API. Read again after each change. */
  apiKeys(): Iterable<{ app: App; keys: readonly string[] }>
  /** Calls `listener` after each reload. Returns a function that removes it. */
  onReplaced(listener: () => void): () => void
}
