import type { Name, Secret } from '@peerage/protocol'
import { isObject, parseName, parseSecret } from '@peerage/protocol'
import { unlessAborted } from '../lib/abort.js'
import { randomText } from '../lib/base64.js'
import type { Seen } from '../delivery/inbox.js'
import { lock } from '../platform/locks.js'
import type { Locked, Locks } from '../platform/locks.js'

/** Where a name, its reclaim secret and what was handed over outlive a reload; sessionStorage is one. */
export interface IdentityStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

export interface IdentityPlace {
  storage: IdentityStorage
  /** Absent (a page without TLS): the record is taken out while in use, and put back when the page goes. */
  locks?: Locks | undefined
  /** Calls back when the page goes away, perhaps to be loaded again. */
  onLeave?(save: () => void): () => void
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

/**
 * Opens the identity under `key`; without a place it lives in memory. A storage or locks that fail, at whatever moment,
 * cost what a reload would have found, and nothing else: this rejects with the signal's reason only.
 */
export async function openIdentity(
  key: string,
  place?: IdentityPlace,
  given?: Secret,
  signal?: AbortSignal,
): Promise<Identity> {
  const storage = place && shelter(place.storage, key)
  let record = storage?.read()
  if (given !== undefined && record?.secret !== given) record = undefined
  let locks = place?.locks
  const claim = async (secret: Secret): Promise<(() => void) | undefined> => {
    if (locks === undefined) return undefined
    const locking = lock(locks, `peerage ${secret}`)
    const locked = await unlessAborted(locking, signal, (late) => releaseOf(late)?.())
    if (locked === 'broken') locks = undefined
    return releaseOf(locked)
  }
  let unlock = record && (await claim(record.secret))
  // Another page is this peer.
  if (locks && unlock === undefined) record = undefined
  // 16 bytes are 128 bits and 22 characters [WN5].
  const secret = given ?? record?.secret ?? (randomText(16) as Secret)
  unlock ??= await claim(secret)
  // Without locks the record is taken out while in use. What another peer has left there meanwhile is that one's.
  if (!locks && storage?.read()?.secret === secret) storage.remove()
  let name = record?.name
  let isHolder = false
  let seen = (): Seen[] => record?.seen ?? []
  // Of several peers under one key the one that has the name is the one that a reload asks for.
  const mayWrite = (): boolean => isHolder || (storage?.read()?.secret ?? secret) === secret
  const write = (): void => {
    if (storage && mayWrite()) storage.write(JSON.stringify({ secret, name, seen: seen() }))
  }
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
      isHolder = true
      seen = ask
      save()
    },
    save,
    close(forget) {
      ignore?.()
      if (!forget) write()
      else if (storage?.read()?.secret === secret) storage.remove()
      unlock?.()
    },
  }
}

/** One key of a storage that may be full, shut or no storage at all. */
function shelter(storage: IdentityStorage, key: string) {
  const attempt = (act: () => unknown): unknown => {
    try {
      const done = act()
      // One that answers later is none of ours, and its failure must not end a process.
      Promise.resolve(done).catch(() => {})
      return done
    } catch {
      return undefined
    }
  }
  return {
    read: (): Stored | undefined => {
      const text = attempt(() => storage.getItem(key))
      return typeof text === 'string' ? readRecord(text) : undefined
    },
    write: (text: string): unknown => attempt(() => storage.setItem(key, text)),
    remove: (): unknown => attempt(() => storage.removeItem(key)),
  }
}

function releaseOf(locked: Locked): (() => void) | undefined {
  return typeof locked === 'object' ? locked.release : undefined
}

interface Stored {
  secret: Secret
  name?: Name
  seen: Seen[]
}

/** What was stored is input like any other: another version, or another script of the page, may have written it. */
function readRecord(text: string): Stored | undefined {
  let stored: unknown
  try {
    stored = JSON.parse(text)
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
