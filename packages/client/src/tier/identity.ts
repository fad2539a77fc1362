import type { Name, Secret } from '@peerage/protocol'
import { isObject, parseName, parseSecret } from '@peerage/protocol'
import { unlessAborted } from '../lib/abort.js'
import { randomText } from '../lib/base64.js'
import type { Seen } from '../delivery/inbox.js'
import { lock } from '../platform/locks.js'
import type { Locked, Locks } from '../platform/locks.js'

/**
 * A synchronous key-value store that keeps a peer's name, its secret and the record of handed-over messages over a
 * reload or restart. `sessionStorage` and the result of `fileStorage` have this interface. A storage that throws or
 * fails is ignored (protocol SPEC.md, WL9).
 */
export interface IdentityStorage {
  /** Returns the value of the key, or null. */
  getItem(key: string): string | null
  /** Stores the value under the key. */
  setItem(key: string, value: string): void
  /** Removes the key. */
  removeItem(key: string): void
}

export interface IdentityPlace {
  storage: IdentityStorage
  /**
   * If absent (on a page without TLS), the record is removed while it is in use, and written back when the page
   * unloads.
   */
  locks?: Locks | undefined
  /** Calls `save` when the page unloads, perhaps to be loaded again. Returns a function that cancels this. */
  onLeave?(save: () => void): () => void
}

/**
 * The secret and name of this peer. The secret is made before the first claim, so that a lost welcome does not lock the
 * peer out of its name. A duplicated tab gets a copy of sessionStorage, but only one of the two tabs may be this peer.
 */
export interface Identity {
  readonly secret: Secret
  /** The name that the peer held before the reload. */
  readonly name: Name | undefined
  readonly seen: Seen[]
  /** Stores the name. `seen` is called at each write. */
  keep(name: Name, seen: () => Seen[]): void
  /** Stores the current record of handed-over messages. */
  save(): void
  /** Releases the identity. With `forget`, it is removed from the storage. */
  close(forget: boolean): void
}

/**
 * Opens the identity under `key`. Without a place it is in memory only. If the storage or the locks fail at any moment,
 * a reload does not find the identity, and nothing else happens [WL9]. Rejects only with the signal's reason.
 */
export async function openIdentity(
  key: string,
  place?: IdentityPlace,
  given?: Secret,
  signal?: AbortSignal,
): Promise<Identity> {
  const storage = place && tolerant(place.storage, key)
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
  // Another page holds the lock, so that page is the peer with this record.
  if (locks && unlock === undefined) record = undefined
  // 16 bytes are 128 bits and 22 characters [WN5].
  const secret = given ?? record?.secret ?? (randomText(16) as Secret)
  unlock ??= await claim(secret)
  // Without locks, remove the record while it is in use, unless another peer has replaced it meanwhile.
  if (!locks && storage?.read()?.secret === secret) storage.remove()
  let name = record?.name
  let isHolder = false
  let seen = (): Seen[] => record?.seen ?? []
  // If several peers use one key, the peer that has the name may overwrite the record, because a reload wants this
  // name.
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

/** One key of a storage. Errors are ignored, because the storage may be full, blocked or not a storage at all. */
function tolerant(storage: IdentityStorage, key: string) {
  const attempt = (act: () => unknown): unknown => {
    try {
      const done = act()
      // An asynchronous storage is not supported, but its rejection must not end the process.
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

/** Checks the stored text, because another version or another script of the page may have written it. */
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
