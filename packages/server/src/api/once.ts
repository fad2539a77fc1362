import { createHash } from 'node:crypto'
import type { Answers, Clock, OnError } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { z } from 'zod'
import { KeptBytes } from './kept-bytes.js'
import type { Problem } from './problems.js'
import { problemCodes, statusOf } from './problems.js'
import { refuse } from './replies.js'

/** How long an answer is kept. */
const KEPT_MS = 24 * 3_600_000
/** How much longer than its deadline a request counts as under way, if its node dies. */
const MARGIN_MS = 5_000
const IN_PROGRESS_RETRY_MS = 1_000
/** What one app may have a node store within 24 h: some 700,000 answers to single messages. */
const KEPT_BYTES_MOST = 268_435_456
/** What the store needs for one answer, beside its text. */
const ENTRY_BYTES = 200

/** How a request ended. */
export type Reply = { ok: true; status: number; body: unknown } | { ok: false; problem: Problem }

/** A request with an Idempotency-Key. */
export interface OnceRequest {
  app: App
  key: string
  /** The same for two requests only if they ask for the same. */
  fingerprint: string
  /** The longest time that the request may take. */
  deadlineMs: number
}

export function fingerprintOf(method: string, path: string, body: string): string {
  return createHash('sha256').update(`${method} ${path}\n${body}`).digest('base64url')
}

/** What is stored under a key: a request, and its reply once it has ended. */
const storedShape = z.object({
  fingerprint: z.string(),
  reply: z
    .union([
      z.object({ ok: z.literal(true), status: z.int(), body: z.unknown() }),
      z.object({
        ok: z.literal(false),
        problem: z.object({ code: z.enum(problemCodes), detail: z.string() }),
      }),
    ])
    .optional(),
})

type Stored = z.output<typeof storedShape>

export interface OnceOptions {
  answers: Answers
  clock: Clock
  onError: OnError
  /** What one app may have this node store within 24 h. */
  keptBytesMost?: number | undefined
}

/** Undefined for a text that no node of this version has written. */
function readStored(text: string): Stored | undefined {
  try {
    return storedShape.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/**
 * Carries a request out at most once for its Idempotency-Key, on all nodes. If the node dies before the reply is stored,
 * the request may be carried out again when its time is over.
 */
export class Once {
  readonly #answers: Answers
  readonly #onError: OnError
  readonly #kept: KeptBytes

  constructor({ answers, clock, onError, keptBytesMost = KEPT_BYTES_MOST }: OnceOptions) {
    this.#answers = answers
    this.#onError = onError
    this.#kept = new KeptBytes(clock, keptBytesMost)
  }

  /** Rejects with RegistryUnavailable before anything is done, and for bugs. */
  async run(
    { app, key, fingerprint, deadlineMs }: OnceRequest,
    act: () => Promise<Reply>,
  ): Promise<Reply & { isReplay?: boolean }> {
    const begun = JSON.stringify({ fingerprint } satisfies Stored)
    const bytes = ENTRY_BYTES + begun.length
    const fullMs = this.#kept.fullMs(app, bytes)
    if (fullMs > 0)
      return refuse(
        'rate-limited',
        'this app has too many answers kept for its Idempotency-Keys; send the header only where it is needed',
        fullMs,
      )
    const known = await this.#answers.begin(app, key, begun, deadlineMs + MARGIN_MS)
    if (known !== undefined) return this.#replay(readStored(known), fingerprint)
    this.#kept.add(app, bytes)
    let reply: Reply | undefined
    try {
      reply = await act()
      return reply
    } finally {
      await this.#keep(app, key, { fingerprint, bytes }, reply)
    }
  }

  // A request that failed for a passing reason may be tried again with the same key.
  async #keep(
    app: App,
    key: string,
    { fingerprint, bytes }: { fingerprint: string; bytes: number },
    reply: Reply | undefined,
  ): Promise<void> {
    const isFinal = reply !== undefined && (reply.ok || !isPassing(reply.problem))
    try {
      if (isFinal) {
        const text = JSON.stringify({ fingerprint, reply } satisfies Stored)
        this.#kept.add(app, ENTRY_BYTES + Buffer.byteLength(text) - bytes)
        await this.#answers.finish(app, key, text, KEPT_MS)
      } else {
        await this.#answers.forget(app, key)
        this.#kept.add(app, -bytes)
      }
    } catch (error) {
      this.#onError(error, { stage: 'api answer' })
    }
  }

  #replay(stored: Stored | undefined, fingerprint: string): Reply & { isReplay?: boolean } {
    if (stored !== undefined && stored.fingerprint !== fingerprint)
      return refuse(
        'idempotency-mismatch',
        'another request was made with this Idempotency-Key within 24 h; use a new key for a new request',
      )
    if (stored?.reply !== undefined) return { ...stored.reply, isReplay: true }
    return refuse(
      'in-progress',
      'the first request with this Idempotency-Key has no answer yet; try again',
      IN_PROGRESS_RETRY_MS,
    )
  }
}

function isPassing({ code }: Problem): boolean {
  const status = statusOf(code)
  return status === 429 || status >= 500
}
