import type { ErrorCode, NodeMessage, NodeMessageOf, PeerMessage } from '@peerage/protocol'
import { isErrorCode, temporary } from '@peerage/protocol'
import { onAbort } from '../lib/abort.js'
import type { Clock } from '../lib/clock.js'
import { PeerageError } from '../lib/error.js'

/** A request without an answer by then has failed, and may be repeated. */
const ANSWER_MS = 5_000

const NO_ANSWER = `the node did not answer within ${ANSWER_MS / 1_000} s; ask again, and see \`peer.state\` for the connection`

type Answering = NodeMessageOf<'found' | 'ice' | 'renewed' | 'roomed' | 'done'>

export type Answer =
  | { ok: true; message: Answering }
  | { ok: false; code: ErrorCode | 'timeout' | 'aborted' | 'closed'; detail?: string }

/** Whether repeating the same request later may succeed. */
export function mayBeAskedAgain(code: PeerageError['code']): boolean {
  return code === 'timeout' || (isErrorCode(code) && temporary[code])
}

/** Returns the answer. Throws the signal's reason, or a PeerageError. */
export function okOrThrow(answer: Answer, signal?: AbortSignal): Answering {
  if (answer.ok) return answer.message
  if (answer.code === 'aborted') signal?.throwIfAborted()
  throw new PeerageError(answer.code, answer.detail)
}

interface Pending {
  frame: PeerMessage
  end: (answer: Answer) => void
  taken: ((message: Answering) => void) | undefined
}

/** Requests to the node, by id. If the connection is lost, open requests are sent again to the next node. */
export class Requests {
  readonly #pending = new Map<number, Pending>()
  readonly #clock: Clock
  readonly #send: (frame: PeerMessage) => boolean
  #id = 0
  #closed = false

  constructor(clock: Clock, send: (frame: PeerMessage) => boolean) {
    this.#clock = clock
    this.#send = send
  }

  /** `taken` gets the answer before the next frame is read. The promise resolves later than that. */
  ask(
    frameOf: (id: number) => PeerMessage,
    signal?: AbortSignal,
    taken?: (message: Answering) => void,
  ): Promise<Answer> {
    if (this.#closed) return Promise.resolve({ ok: false, code: 'closed' })
    if (signal?.aborted) return Promise.resolve({ ok: false, code: 'aborted' })
    const id = ++this.#id
    const frame = frameOf(id)
    return new Promise((resolve) => {
      const timer = this.#clock.after(ANSWER_MS, () => end({ ok: false, code: 'timeout', detail: NO_ANSWER }))
      const ignore = onAbort(signal, () => end({ ok: false, code: 'aborted' }))
      const end = (answer: Answer): void => {
        timer.cancel()
        ignore()
        this.#pending.delete(id)
        resolve(answer)
      }
      this.#pending.set(id, { frame, end, taken })
      this.#send(frame)
    })
  }

  /** Returns false if the message does not answer an open request. */
  answer(message: NodeMessage): boolean {
    if (!('id' in message)) return false
    const pending = this.#pending.get(message.id ?? 0)
    if (message.type === 'error') pending?.end({ ok: false, code: message.code, detail: message.detail })
    else {
      pending?.taken?.(message)
      pending?.end({ ok: true, message })
    }
    return pending !== undefined
  }

  online(): void {
    for (const { frame } of this.#pending.values()) this.#send(frame)
  }

  close(): void {
    this.#closed = true
    for (const { end } of this.#pending.values()) end({ ok: false, code: 'closed' })
  }
}
