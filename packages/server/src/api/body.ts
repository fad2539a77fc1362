import type { IncomingMessage } from 'node:http'
import type { Clock, Timer } from '@peerage/core'
import type { Problem } from './problems.js'

/** The longest time for a whole body. */
const BODY_MS = 10_000
/**
 * A body that is refused is read on and thrown away, because many HTTP clients read the answer only after they have sent
 * the whole body. This is for how long, and how much of it.
 */
const DISCARD_MS = 5_000
const DISCARD_BYTES = 16_777_216
/** How fast a node throws bodies away, all of them together. To read 10 MB costs some 30 ms of CPU. */
const DISCARD_BYTES_PER_SECOND = 8_388_608
/** After this much at once, the node reads more slowly: one large body is thrown away without a pause. */
const DISCARD_AHEAD_MS = 1_500
/** Levels of nesting in a JSON body. Data for peers rarely has ten. */
const DEPTH_MOST = 64

export type Read<T> = { ok: true; value: T } | { ok: false; problem: Problem }

const failed = (code: Problem['code'], detail: string): { ok: false; problem: Problem } => ({
  ok: false,
  problem: { code, detail },
})

/** Reads a body of JSON. It is counted while it arrives, and parsed when all of it is known to be acceptable. */
export async function readBody(
  request: IncomingMessage,
  mostBytes: number,
  clock: Clock,
): Promise<Read<{ text: string; json: unknown }>> {
  const {
    'content-type': type,
    'content-encoding': encoding = 'identity',
    'content-length': length,
  } = request.headers
  if (Number(length ?? 0) > mostBytes) return tooLarge(mostBytes)
  if (encoding.toLowerCase() !== 'identity')
    return failed('unsupported-media-type', 'send the body without a Content-Encoding')
  const bytes = await readBytes(request, mostBytes, clock)
  if (!bytes.ok) return bytes
  // An operation without required fields may be called without a body.
  if (bytes.value.length === 0) return { ok: true, value: { text: '', json: {} } }
  if (!isJson(type)) return failed('unsupported-media-type', 'send the header Content-Type: application/json')
  return parse(bytes.value)
}

function isJson(type: string | undefined): boolean {
  return /^application\/(?:[\w.+-]+\+)?json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type ?? '')
}

function tooLarge(mostBytes: number): { ok: false; problem: Problem } {
  return failed('too-large', `the body may have at most ${mostBytes} bytes`)
}

async function readBytes(request: IncomingMessage, mostBytes: number, clock: Clock): Promise<Read<Buffer>> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const end = (read: Read<Buffer>): void => {
      timer.cancel()
      request.off('data', take).off('end', done).off('close', cut).off('error', cut)
      resolve(read)
    }
    const take = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > mostBytes) end(tooLarge(mostBytes))
      else chunks.push(chunk)
    }
    const done = (): void => end({ ok: true, value: Buffer.concat(chunks) })
    const cut = (): void => end(failed('bad-request', 'the connection ended before the whole body had come'))
    const timer = clock.after(BODY_MS, () =>
      end(failed('request-timeout', `the whole body must arrive within ${BODY_MS / 1_000} s`)),
    )
    request.on('data', take).on('end', done).on('close', cut).on('error', cut)
  })
}

/** Reads what is left of refused bodies and throws it away. All bodies of a node share one rate. */
export class Discards {
  readonly #clock: Clock
  /** The monotonic time by which everything that was read would have come at the rate. */
  #paidUntil = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** If there is too much left, or it is too slow, ends the connection. */
  rest(request: IncomingMessage): void {
    if (request.complete || request.destroyed) return
    const clock = this.#clock
    let bytes = 0
    let pause: Timer | undefined
    const late = clock.after(DISCARD_MS, () => request.destroy())
    const end = (): void => {
      late.cancel()
      pause?.cancel()
    }
    request.on('error', () => {})
    request.on('close', end).on('end', end)
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > DISCARD_BYTES) return void request.destroy()
      const waitMs = this.#pay(chunk.length)
      if (waitMs === 0) return
      request.pause()
      pause = clock.after(waitMs, () => request.resume())
    })
    request.resume()
  }

  /** Returns for how many milliseconds nothing more should be read. */
  #pay(bytes: number): number {
    const now = this.#clock.monotonic()
    this.#paidUntil = Math.max(this.#paidUntil, now) + (bytes * 1_000) / DISCARD_BYTES_PER_SECOND
    return Math.max(0, this.#paidUntil - now - DISCARD_AHEAD_MS)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parse(bytes: Buffer): Read<{ text: string; json: unknown }> {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return failed('bad-request', 'the body is not UTF-8')
  }
  if (depthOf(text) > DEPTH_MOST)
    return failed('bad-request', `the body may be nested at most ${DEPTH_MOST} levels deep`)
  try {
    return { ok: true, value: { text, json: JSON.parse(text) } }
  } catch {
    return failed('bad-request', 'the body is not JSON')
  }
}

/** The levels of nesting of a JSON text, counted without parsing it. */
export function depthOf(text: string): number {
  let [depth, deepest, isInString] = [0, 0, false]
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (isInString) {
      if (char === '\\') i++
      else if (char === '"') isInString = false
    } else if (char === '"') isInString = true
    else if (char === '{' || char === '[') deepest = Math.max(deepest, ++depth)
    else if (char === '}' || char === ']') depth--
  }
  return deepest
}
