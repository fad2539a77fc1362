import type { Clock, OnError } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { z } from 'zod'
import type { Outbound } from './outbound.js'
import { badToken, refusal, type Refusal } from './refusal.js'
import type { Algorithm } from './app-access.js'
import type { KeySource } from './key-source.js'
import type { TokenHeader } from './token-header.js'
import { readJwk, type VerificationKey } from './verification-key.js'

/** After this time a set is fetched again in the background. */
const FRESH_MS = 600_000
/**
 * The least time from one fetch to the next while there are keys. So tokens with invented key ids cannot make a node
 * flood the issuer.
 */
const COOLDOWN_MS = 30_000
const NO_KEYS =
  'has no public key for signatures of RS256, PS256, ES256 or EdDSA (RSA keys need 2048 to 8192 bits)'
/** The least time between fetches while there are no keys at all, because then nobody comes in. */
const COOLDOWN_WITHOUT_KEYS_MS = 2_000
const FETCH_TIMEOUT_MS = 5_000
const SET_BYTES_MOST = 262_144
/** The most keys of a set. Usual sets have two or three. */
const KEYS_MOST = 100

export interface RemoteKeysOptions {
  app: App
  /** The URL of the configuration. No claim or header of a token changes it. */
  url: string
  /** Whether the host in the URL may have private addresses. */
  allowPrivate: boolean
  outbound: Outbound
  clock: Clock
  onError: OnError
}

/**
 * The keys of a JSON Web Key Set (RFC 7517 §5) at a URL. The set is fetched when the first token comes, and kept. If it
 * cannot be fetched again, the old keys stay in use without end.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  readonly #stopped = new AbortController()
  #keys: readonly VerificationKey[] | undefined
  /** When the newest fetch began and, if it succeeded, the keys were made (monotonic ms). */
  #triedAt = Number.NEGATIVE_INFINITY
  #fetchedAt = Number.NEGATIVE_INFINITY
  /** The fetch that is under way. All tokens that need it wait for the same one. */
  #fetching: Promise<void> | undefined
  /** Why the newest fetch failed. Undefined after a success. Each reason is reported once. */
  #failure: string | undefined
  /** Whether the newest set has no key that can be used. */
  #isEmpty = false

  constructor(options: RemoteKeysOptions) {
    this.#options = options
  }

  /** The keys that may have signed a token with this header. Resolves within the time-out of a fetch. */
  async find(header: TokenHeader): Promise<{ ok: true; keys: readonly VerificationKey[] } | Refusal> {
    if (this.#keys === undefined) await this.#refresh(COOLDOWN_WITHOUT_KEYS_MS)
    else if (this.#now() - this.#fetchedAt > FRESH_MS) void this.#refresh(COOLDOWN_MS)
    if (this.#keys === undefined) return this.#unreachable()
    const known = fitting(this.#keys, header)
    if (known.length > 0) return { ok: true, keys: known }
    // The issuer may have a new key.
    await this.#refresh(COOLDOWN_MS)
    const keys = fitting(this.#keys, header)
    if (keys.length > 0) return { ok: true, keys }
    // While the set cannot be fetched, the key may be a new one.
    if (this.#failure !== undefined) return this.#unreachable()
    return badToken(
      header.kid === undefined
        ? `no key of the app's JWKS is for ${header.algorithm}`
        : `unknown kid: no key of the app's JWKS for ${header.algorithm} has the kid of the token`,
    )
  }

  stop(): void {
    this.#stopped.abort()
  }

  #now(): number {
    return this.#options.clock.monotonic()
  }

  #unreachable(): Refusal {
    const cooldownMs = this.#keys === undefined ? COOLDOWN_WITHOUT_KEYS_MS : COOLDOWN_MS
    const waitMs = Math.max(1, Math.ceil(this.#triedAt + cooldownMs - this.#now()))
    return refusal(
      'access-unavailable',
      "the keys of this app's tokens cannot be fetched right now; try again",
      waitMs,
    )
  }

  /** Fetches the set, unless the newest fetch began less than `cooldownMs` ago. Never rejects. */
  #refresh(cooldownMs: number): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching
    if (this.#stopped.signal.aborted || this.#now() - this.#triedAt < cooldownMs) return Promise.resolve()
    this.#triedAt = this.#now()
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetch(): Promise<void> {
    const { app, url, onError } = this.#options
    const read = await fetchKeySet(this.#options, this.#stopped.signal)
    if (read.ok) {
      this.#keys = read.keys
      this.#fetchedAt = this.#now()
      this.#failure = undefined
      this.#noteEmpty(read.keys.length === 0)
      return
    }
    if (this.#stopped.signal.aborted || this.#failure === read.problem) return
    this.#failure = read.problem
    const kept = this.#keys === undefined ? 'nobody can come in until then' : 'the old keys stay in use'
    const message = `app ${app}: the JWKS at ${withoutSecrets(url)} ${read.problem}; it is tried again, and ${kept}`
    onError(new Error(message), { stage: 'jwks' })
  }

  /** Says once that no token can be valid now. */
  #noteEmpty(isEmpty: boolean): void {
    if (isEmpty && !this.#isEmpty) {
      const { app, url, onError } = this.#options
      const message = `app ${app}: the JWKS at ${withoutSecrets(url)} is empty; nobody can come in until it has a key`
      onError(new Error(message), { stage: 'jwks' })
    }
    this.#isEmpty = isEmpty
  }
}

/** Fetches a set of keys once. The problem is the rest of a sentence that begins with the URL. */
export async function fetchKeySet(
  { url, allowPrivate, outbound }: Pick<RemoteKeysOptions, 'url' | 'allowPrivate' | 'outbound'>,
  signal?: AbortSignal,
): Promise<ReadSet> {
  const answer = await outbound.request(url, {
    method: 'GET',
    headers: { accept: 'application/jwk-set+json, application/json' },
    timeoutMs: FETCH_TIMEOUT_MS,
    mostBytes: SET_BYTES_MOST,
    allowPrivate,
    ...(signal !== undefined && { signal }),
  })
  if (!answer.ok) return { ok: false, problem: answer.problem }
  if (answer.status !== 200) return { ok: false, problem: `answered with status ${answer.status}` }
  return readKeySet(answer.body)
}

/** A URL for logs. Its query may be a password. */
export function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

/** Duplicate ids are kept: each such key is tried. */
function fitting(keys: readonly VerificationKey[], { algorithm, kid }: TokenHeader): VerificationKey[] {
  return keys.filter((key) => isFor(key, algorithm) && (kid === undefined || key.kid === kid))
}

const isFor = (key: VerificationKey, algorithm: Algorithm): boolean => key.algorithms.includes(algorithm)

type ReadSet = { ok: true; keys: readonly VerificationKey[] } | { ok: false; problem: string }

const setSchema = z.object({ keys: z.array(z.unknown()) })

/** Reads the text of a JSON Web Key Set. Keys that we cannot use are left out, as RFC 7517 §5 asks. */
export function readKeySet(text: string): ReadSet {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { ok: false, problem: 'answered with something that is not JSON' }
  }
  const set = setSchema.safeParse(parsed)
  if (!set.success) return { ok: false, problem: 'answered with JSON that has no list of keys' }
  const { keys } = set.data
  if (keys.length > KEYS_MOST)
    return { ok: false, problem: `has ${keys.length} keys, and at most ${KEYS_MOST} are allowed` }
  const usable = keys.map(readJwk).filter((key) => key !== undefined)
  // An empty set is what the issuer says: its former keys are void. A set of other keys is more likely a mistake.
  return usable.length > 0 || keys.length === 0 ? { ok: true, keys: usable } : { ok: false, problem: NO_KEYS }
}
