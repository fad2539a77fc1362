import type { Name, Secret } from '@peerage/protocol'
import { isObject, parseName, parseSecret } from '@peerage/protocol'
import type { Seen } from './inbox.js'

/** Where a name, its reclaim secret and what was handed over outlive a reload; sessionStorage is one. */
export interface IdentityStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

/** What a page may hold exclusively while it lives; `navigator.locks` is one. */
export interface Locks {
  request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>
}

export interface IdentityPlace {
  storage: IdentityStorage
  /** Absent (a page without TLS): the record is taken out while in use, and put back when the page goes. */
  locks?: Locks | undefined
  /** Calls back when the page goes away, perhaps to be loaded again. */
  onLeave?(save: () => void): () => void
}

/** A reloading page lets go of its lock within this, on a busy machine too; a page that was duplicated never does. */
const LOCK_WAIT_MS = 2_000

export function randomText(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes))
  return btoa(String.fromCharCode(...random))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/**
 * Who this peer is: made before the first claim, so that a lost welcome locks nobody out. A duplicated tab gets a copy
 * of sessionStorage; only one of the two may be this peer.
 */
export interface Identity {
  readonly secret: Secret
  /** The name that it held before the reload. */
  readonly name: Name | undefined
  readonly seen: Seen[]
  /** Keeps the name; what was handed over is asked for when it is written. */
  keep(name: Name, seen: () => Seen[]): void
  /** Writes what there is now. */
  save(): void
  /** Lets go: after a `forget`, the next one starts anew. */
  close(forget: boolean): void
}

/** Opens the identity under `key`; without a place it lives in memory. */
export async function openIdentity(key: string, place?: IdentityPlace, given?: Secret): Promise<Identity> {
  let record = place === undefined ? undefined : readRecord(place.storage.getItem(key))
  if (given !== undefined && record?.secret !== given) record = undefined
  const { locks, storage } = place ?? {}
  // A full or shut storage must not stop whoever welcomes or closes the peer: its next load is then another peer.
  const store = (act: (storage: IdentityStorage) => void): void => {
    try {
      if (storage) act(storage)
    } catch {
      // Not ours to mend.
    }
  }
  let unlock = record && (await lock(locks, record.secret))
  if (unlock === undefined) record = undefined
  const remove = (): void => store((storage) => storage.removeItem(key))
  if (!locks) remove()
  // 16 bytes are 128 bits and 22 characters [N5].
  const secret = given ?? record?.secret ?? (randomText(16) as Secret)
  unlock ??= await lock(locks, secret)
  let name = record?.name
  let seen = (): Seen[] => record?.seen ?? []
  const write = (): void =>
    store((storage) => storage.setItem(key, JSON.stringify({ secret, name, seen: seen() })))
  const ignore = place?.onLeave?.(write)
  const save = (): void => {
    if (locks) write()
  }
  return {
    secret,
    name,
    seen: record?.seen ?? [],
    keep(held, ask) {
      name = held
      seen = ask
      save()
    },
    save,
    close(forget) {
      ignore?.()
      if (forget) remove()
      else write()
      unlock?.()
    },
  }
}

/** Resolves to the way to let go; undefined: another page holds it. Without locks there is nothing to hold. */
function lock(locks: Locks | undefined, name: string): Promise<(() => void) | undefined> {
  if (locks === undefined) return Promise.resolve(() => {})
  return new Promise((resolve) => {
    const held = (): Promise<void> => new Promise((release) => resolve(release))
    locks
      .request(`peerage ${name}`, { signal: AbortSignal.timeout(LOCK_WAIT_MS) }, held)
      .catch(() => resolve(undefined))
  })
}

/** What was stored is input like any other: another version, or another script of the page, may have written it. */
function readRecord(text: string | null): { secret: Secret; name?: Name; seen: Seen[] } | undefined {
  let stored: unknown
  try {
    stored = JSON.parse(text ?? 'null')
  } catch {
    return undefined
  }
  if (!isObject(stored)) return undefined
  const secret = parseSecret(stored['secret'])
  if (!secret.ok) return undefined
  const name = parseName(stored['name'])
  const seen = Array.isArray(stored['seen']) ? stored['seen'].filter(isSeen) : []
  return { secret: secret.value, seen, ...(name.ok && { name: name.value }) }
}

function isSeen(entry: unknown): entry is Seen {
  if (!Array.isArray(entry)) return false
  const [from, stream, next, at] = entry
  return parseName(from).ok && typeof stream === 'string' && Number.isSafeInteger(next) && Number.isFinite(at)
}
