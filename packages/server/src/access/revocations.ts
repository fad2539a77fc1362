import type { Clock, Holder, OnError, Records } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { App, Name } from '@peerage/protocol'
import { z } from 'zod'
import type { RevocationCheck } from '../gateway/shared/claimer.js'
import { badToken, refusal, type Refusal } from './refusal.js'

const UNAVAILABLE_RETRY_MS = 1_000

/**
 * What a record is about, and the letter of its key: a name; an identity (the `sub` of tokens); one token by its `jti`;
 * the tokens of a `sub` that were issued before a time. A `sub` can be banned and have such tokens at the same time.
 */
const LETTERS = { name: 'n', identity: 's', token: 'j', tokens: 'r' } as const
export type BanKind = keyof typeof LETTERS

export const BAN_KINDS = ['name', 'identity', 'token', 'tokens'] as const satisfies BanKind[]

/** The key of a record. */
export const banKey = (kind: BanKind, value: string): string => `${LETTERS[kind]}:${value}`

/** What the key of a record says. Undefined if it is none. */
export function readBanKey(key: string): { kind: BanKind; value: string } | undefined {
  const kind = BAN_KINDS.find((one) => key.startsWith(`${LETTERS[one]}:`))
  return kind && { kind, value: key.slice(2) }
}

/** A record. Times are Unix ms. */
export interface Ban {
  until: number
  /** Of kind `tokens`: only tokens that were issued before this are void. */
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
  records: Pick<Records, 'get'>
  clock: Clock
  onError: OnError
}

/** What is known of a peer: its name, and what its token says. */
type Whom = Holder & { name?: Name }

/** Whether an application server has banned a peer, or revoked its token. Asked before each claim of an app with the API. */
export class Revocations implements RevocationCheck {
  readonly #options: RevocationsOptions

  constructor(options: RevocationsOptions) {
    this.#options = options
  }

  /** Reads all records about a peer with one command. If they cannot be read, the peer is told to come back. Never rejects. */
  async check(app: App, holder: Whom): Promise<{ ok: true } | Refusal> {
    const about = recordsOf(holder)
    if (about.length === 0) return { ok: true }
    let texts: (string | undefined)[]
    try {
      const keys = about.map(({ kind, value }) => banKey(kind, value))
      texts = await this.#options.records.get(app, 'bans', keys)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) this.#options.onError(error, { stage: 'bans' })
      return refusal(
        'access-unavailable',
        'the bans of this app cannot be read right now; try again',
        UNAVAILABLE_RETRY_MS,
      )
    }
    const refusals = about.map(({ kind }, i) => this.#refusedBy(kind, texts[i], holder))
    return refusals.find((refused) => refused !== undefined) ?? { ok: true }
  }

  #refusedBy(kind: BanKind, text: string | undefined, { issuedAt }: Whom): Refusal | undefined {
    if (text === undefined) return undefined
    const ban = decodeBan(text)
    if (ban === undefined)
      this.#options.onError(new Error(`a record of a ban (${kind}) is malformed`), { stage: 'bans' })
    // Only nodes write records. One that cannot be read counts, because it was meant to keep somebody out.
    const { until, before = Number.POSITIVE_INFINITY } = ban ?? { until: Number.POSITIVE_INFINITY }
    const leftMs = Math.ceil(until - this.#options.clock.now())
    if (leftMs <= 0) return undefined
    switch (kind) {
      case 'name':
      case 'identity': {
        const detail = `an application server has banned this ${kind === 'name' ? 'name' : 'user'}`
        return refusal('banned', detail, Number.isFinite(leftMs) ? leftMs : undefined)
      }
      case 'token':
        return badToken('the token was revoked; get a new one')
      case 'tokens':
        // A token that does not say when it was issued may be an old one.
        if (issuedAt !== undefined && issuedAt >= before) return undefined
        return badToken('the token was revoked, with all that were issued before a time; get a new one')
    }
  }
}

function recordsOf({ name, identity, tokenId }: Whom): { kind: BanKind; value: string }[] {
  const about: { kind: BanKind; value: string }[] = []
  if (name !== undefined) about.push({ kind: 'name', value: name })
  if (identity !== undefined)
    about.push({ kind: 'identity', value: identity }, { kind: 'tokens', value: identity })
  if (tokenId !== undefined) about.push({ kind: 'token', value: tokenId })
  return about
}
