import type { Name } from '@peerage/protocol'
import { isObject } from '@peerage/protocol'
import { fromBase64, toBase64 } from '../../lib/base64.js'
import { aFlag, check } from '../../lib/check.js'
import type { Stream, StreamData } from '../channel/streams.js'
import type { Verify, VerifyLine } from '../options.js'

// The two sides of a new connection verify each other over stream 0, before it carries anything else (SPEC.md, PP43).

/** The most messages that one side sends during a verification, and the most bytes in one. */
const MESSAGES_MAX = 16
const MESSAGE_BYTES_MAX = 4_096
/** A frame with a message of that size: base64 has four characters for three bytes, and the rest has less than 64. */
const FRAME_MAX_LENGTH = 4 * Math.ceil(MESSAGE_BYTES_MAX / 3) + 64

/** The application's function, and who is at each end. */
export interface Verifier {
  verify: Verify
  local: Name
  remote: Name
  onError: (error: unknown) => void
}

/** The connection to verify. */
export interface Unverified {
  handshake: string
  label: string
  isCaller: boolean
  /** Undefined: a stack has not named exactly one fingerprint by SHA-256. */
  fingerprints: { local: string; remote: string } | undefined
  frames: Stream
  /** Called once, unless `end` is called first. Undefined: both sides have verified the connection. Else why not. */
  onDone: (problem: string | undefined) => void
}

/** What a side sends on stream 0 until the connection is verified. */
type VerifyFrame = { type: 'verify'; message: Uint8Array<ArrayBuffer> } | { type: 'verified' }

type Waiting = { resolve: (message: Uint8Array<ArrayBuffer>) => void; reject: (error: LineError) => void }

/** Why a call of `VerifyLine` fails that is no mistake of the application. */
class LineError extends Error {}

/** `verify` of this side for one connection, and the messages of the other side. */
export class Verification {
  readonly #connection: Unverified
  readonly #abort = new AbortController()
  /** Messages that nobody has received yet. */
  readonly #messages: Uint8Array<ArrayBuffer>[] = []
  readonly #waiting: Waiting[] = []
  #sent = 0
  #heard = 0
  #isVerifiedHere = false
  #isVerifiedThere = false
  /** Why the line carries no more messages. Undefined: it does. */
  #over: LineError | undefined

  constructor({ verify, local, remote, onError }: Verifier, connection: Unverified) {
    this.#connection = connection
    const { fingerprints, frames, handshake, label, isCaller } = connection
    frames.listen(
      (data) => this.#take(data),
      () => undefined,
    )
    const line: VerifyLine = {
      handshake,
      label,
      isCaller,
      signal: this.#abort.signal,
      send: (message) => this.#send(message),
      receive: () => this.#receive(),
    }
    const ask = async (): Promise<unknown> => {
      // The application may end the attempt in `verify`, so the handshake must know of this verification first.
      await Promise.resolve()
      if (this.#over) throw this.#over
      if (fingerprints === undefined) throw new Error('the WebRTC stack names no SHA-256 fingerprint')
      const ends = [
        { name: local, fingerprint: fingerprints.local },
        { name: remote, fingerprint: fingerprints.remote },
      ] as const
      return verify(...ends, line)
    }
    ask()
      .then((answer) => {
        check('what `verify` returns', answer, aFlag)
        if (answer === true) this.#pass()
        else this.#fail('`verify` of this peer returned false')
      })
      .catch((error: unknown) => {
        if (!this.#over && !(error instanceof LineError)) onError(error)
        this.#fail(
          `\`verify\` of this peer failed: ${error instanceof Error ? error.message : String(error)}`,
        )
      })
  }

  /** The attempt has ended. */
  end(reason: string): void {
    if (this.#over) return
    this.#close(reason)
    this.#abort.abort(this.#over)
  }

  #pass(): void {
    if (this.#over) return
    this.#isVerifiedHere = true
    this.#put({ type: 'verified' })
    this.#settle()
  }

  #settle(): void {
    if (!this.#isVerifiedHere || !this.#isVerifiedThere) return
    this.#close('the verification is over')
    this.#connection.onDone(undefined)
  }

  #fail(problem: string): void {
    if (this.#over) return
    this.end(problem)
    this.#connection.onDone(problem)
  }

  #close(reason: string): void {
    this.#over = new LineError(reason)
    this.#messages.length = 0
    this.#refuseWaiting(this.#over)
  }

  #refuseWaiting(error: LineError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #send(message: Uint8Array<ArrayBuffer>): void {
    if (this.#over) throw this.#over
    if (this.#isVerifiedHere) throw new LineError('`verify` has returned')
    if (!(message instanceof Uint8Array)) throw new TypeError('`line.send` takes a Uint8Array')
    if (message.length > MESSAGE_BYTES_MAX || this.#sent === MESSAGES_MAX)
      throw new RangeError(
        `\`line.send\` takes at most ${MESSAGES_MAX} messages of at most ${MESSAGE_BYTES_MAX} bytes; this is message ${this.#sent + 1}, of ${message.length} bytes`,
      )
    this.#sent++
    this.#put({ type: 'verify', data: toBase64(message) })
  }

  #put(frame: object): void {
    try {
      this.#connection.frames.send(JSON.stringify(frame))
    } catch (error) {
      // The stream has closed, and its event comes in a moment.
      throw new LineError(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }

  #receive(): Promise<Uint8Array<ArrayBuffer>> {
    const message = this.#messages.shift()
    if (message) return Promise.resolve(message)
    const received = new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
      if (this.#over) reject(this.#over)
      else if (this.#isVerifiedThere) reject(new LineError(NO_MORE))
      else this.#waiting.push({ resolve, reject })
    })
    // An application that no longer awaits the message must not see an unhandled rejection.
    received.catch(() => undefined)
    return received
  }

  #take(data: StreamData): void {
    if (this.#over) return
    const frame = readFrame(data)
    switch (frame?.type) {
      case 'verify':
        if (++this.#heard > MESSAGES_MAX) return this.#fail('the other peer sent too many messages to verify')
        return this.#deliver(frame.message)
      case 'verified':
        this.#isVerifiedThere = true
        // What follows is for the channel.
        this.#connection.frames.hold()
        this.#refuseWaiting(new LineError(NO_MORE))
        return this.#settle()
      case undefined:
        return this.#fail('the other peer has no `verify`, or broke the protocol while it verified')
    }
  }

  #deliver(message: Uint8Array<ArrayBuffer>): void {
    const waiting = this.#waiting.shift()
    if (waiting) waiting.resolve(message)
    else this.#messages.push(message)
  }
}

const NO_MORE = 'the other side has verified this connection and sends no more messages'

/** Undefined: it is no frame of a verification, or it is malformed. */
function readFrame(text: StreamData): VerifyFrame | undefined {
  if (typeof text !== 'string' || text.length > FRAME_MAX_LENGTH) return undefined
  try {
    const frame: unknown = JSON.parse(text)
    if (!isObject(frame)) return undefined
    if (frame['type'] === 'verified') return { type: 'verified' }
    if (frame['type'] !== 'verify' || typeof frame['data'] !== 'string') return undefined
    const message = fromBase64(frame['data'])
    return message.length > MESSAGE_BYTES_MAX ? undefined : { type: 'verify', message }
  } catch {
    return undefined
  }
}
