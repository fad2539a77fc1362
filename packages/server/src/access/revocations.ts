import { RegistryUnavailable, type OnError } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { z } from 'zod'
import type { Clock } from '@peerage/core'
import { refusal, type Refusal } from './refusal.js'

const UNAVAILABLE_RETRY_MS = 1_000

/** The part of the core's `Records` that is read here. */
export interface BanRecords {
  get(app: App, kind: 'bans', keys: readonly string[]): Promise<(string | undefined)[]>
}

/** What a ban or a revocation is about. `identity` is the `sub` of tokens, `tokenId` their `jti`. */
export type Whom =
  | { type: 'name'; name: string }
  | { type: 'identity'; identity: string }
  | { type: 'tokenId'; tokenId: string }

/** The key of its record. */
export function banKey(whom: Whom): string {
  switch (whom.type) {
    case 'name':
      return `n:${whom.name}`
    case 'identity':
      return `s:${whom.identity}`
    case 'tokenId':
      return `j:${whom.tokenId}`
  }
}

/** A record. Times are Unix ms. */
export interface Ban {
  until: number
  /** Only tokens that were issued before this are refused. Absent: every peer that the record is about. */
  before?: number
}

const banSchema = z.object({ until: z.number(), before: z.number().exactOptional() })

export const encodeBan = ({ until, before }: Ban): string => JSON.stringify({ until, before })

/** Undefined if the text is no record. */
export function decodeBan(text: string): Ban | undefined {
  try {
    const read = banSchema.safeParse(JSON.parse(text))
    return read.success ? read.data : undefined
  } catch {
    return undefined
  }
}

export interface RevocationsOptions {
  records: BanRecords
  clock: Clock
  onError: OnError
}

/** What is known of a peer: its name, and what its token says (see `Allowed`). */
export interface Holder {
  name?: string | undefined
  identity?: string | undefined
  tokenId?: string | undefined
  issuedAt?: number | undefined
}

/** Whether an application server has banned a peer, or revoked its token. Asked before each claim of an app with the API. */
export class Revocations {
  readonly #options: RevocationsOptions

  constructor(options: RevocationsOptions) {
    this.#options = options
  }

  /** Reads all records about a peer with one command. If they cannot be read, the peer is told to come back. Never rejects. */
  async check(app: App, holder: Holder): Promise<{ ok: true } | Refusal> {
    const about = whomOf(holder)
    if (about.length === 0) return { ok: true }
    let texts: (string | undefined)[]
    try {
      texts = await this.#options.records.get(app, 'bans', about.map(banKey))
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) this.#options.onError(error, { stage: 'bans' })
      return refusal(
        'access-unavailable',
        'the bans of this app cannot be read right now; try again',
        UNAVAILABLE_RETRY_MS,
      )
    }
    const refusals = about.map((whom, i) => this.#refusedBy(whom, texts[i], holder))
    return refusals.find((refused) => refused !== undefined) ?? { ok: true }
  }

  #refusedBy({ type }: Whom, text: string | undefined, { issuedAt }: Holder): Refusal | undefined {
    if (text === undefined) return undefined
    const ban = decodeBan(text)
    if (ban === undefined) {
      // Only nodes write records. One that cannot be read counts as a ban, because it was meant to keep somebody out.
      this.#options.onError(new Error('a record of a ban is malformed'), { stage: 'bans' })
      return refusal('banned', banned(type))
    }
    const { until, before } = ban
    const leftMs = Math.ceil(until - this.#options.clock.now())
    if (leftMs <= 0) return undefined
    if (type === 'tokenId') return refusal('bad-token', 'the token was revoked; get a new one')
    if (before === undefined) return refusal('banned', banned(type), leftMs)
    // A token that does not say when it was issued may be an old one.
    if (issuedAt !== undefined && issuedAt >= before) return undefined
    return refusal(
      'bad-token',
      'the token was revoked, as were all that were issued before it; get a new one',
    )
  }
}

const banned = (type: Whom['type']): string =>
  `an application server has banned this ${type === 'name' ? 'name' : 'user'}`

function whomOf({ name, identity, tokenId }: Holder): Whom[] {
  const about: Whom[] = []
  if (name !== undefined) about.push({ type: 'name', name })
  if (identity !== undefined) about.push({ type: 'identity', identity })
  if (tokenId !== undefined) about.push({ type: 'tokenId', tokenId })
  return about
}
