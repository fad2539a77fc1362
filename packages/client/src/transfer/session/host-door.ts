import type { Name } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import type { HandshakeContext, HostRefusal, Line, SessionKeys } from '../keys/handshake.js'
import { answerAsHost } from '../keys/host.js'
import type { KeyPair } from '../keys/key-pair.js'
import { createSeal } from '../keys/seal.js'
import { ChannelConduit } from './channel-conduit.js'
import type { OpenConduit } from './conduits.js'
import { VERSION } from './control.js'
import type { Control, Refusal } from './control.js'
import { nextControl } from './greeting.js'
import { isFirstLabel } from './labels.js'
import type { LiveSession } from './live-session.js'
import type { PasswordTries } from './password-tries.js'
import { contextOfServer, ServerLine } from './proof-line.js'
import { ServerConduit } from './server-conduit.js'
import type { ServerLink } from './server-link.js'
import type { ServerPort } from './server-port.js'
import { SplitConduit } from './split-conduit.js'

export type Hello = Extract<Control, { session: 'hello' }>
export type Welcome = Extract<Control, { session: 'welcome' }>

/** What the door needs of the share. */
export interface DoorParts {
  port: ServerPort
  clock: Clock
  keyPair: KeyPair
  linkSecret: Uint8Array<ArrayBuffer>
  /** Of the link that the guests of codes get. It needs no password. */
  codeLinkSecret: Uint8Array<ArrayBuffer>
  tries: PasswordTries
  /** Resolves to what SPAKE2 needs of the password. Undefined: there is none. */
  password: () => Promise<bigint | undefined>
  refusal: () => HostRefusal | undefined
  /** A guest has proven itself and says hello: its session and what to answer, or why it is refused. */
  welcome: (guest: Name, hello: Hello) => { session: LiveSession; welcome: Welcome } | { refused: Refusal }
  /** The password was wrong. */
  wrongPassword: () => void
  onError: (error: unknown) => void
}

/** How long the keys of a guest are kept that has proven itself and has no session yet. */
const KEYS_MS = 120_000
const KEYS_MAX = 256

interface Known {
  guest: Name
  keys: SessionKeys
  /** When the guest has proven itself, in the clock's milliseconds. */
  at: number
  session: LiveSession | undefined
}

/** Lets guests in: over new channels, and through the server. */
export class HostDoor {
  readonly #parts: DoorParts
  /** By the id of the session key. */
  readonly #known = new Map<string, Known>()

  constructor(parts: DoorParts) {
    this.#parts = parts
  }

  /** Answers a guest's handshake. Undefined: the guest has not proven itself. */
  async answer(line: Line, context: HandshakeContext, guest: Name): Promise<SessionKeys | undefined> {
    const { tries, keyPair, linkSecret, codeLinkSecret } = this.#parts
    let isTrying = false
    const result = await answerAsHost(line, context, {
      keyPair,
      links: [linkSecret],
      openLinks: [codeLinkSecret],
      password: await this.#parts.password(),
      session: (id) => this.#keysOf(id, guest),
      // Asked twice: at the first message, and before the proof is checked.
      refuse: (kind) => {
        if (kind === 'session') return undefined
        const refusal = this.#parts.refusal()
        if (refusal !== undefined || kind !== 'link+password' || isTrying) return refusal
        const why = tries.begin()
        isTrying = why === undefined
        return why
      },
      onProof: (kind, isRight) => {
        if (kind !== 'link+password' || !isTrying) return
        tries.end(!isRight)
        isTrying = false
      },
      triesLeft: () => tries.left,
    })
    // It broke off before the proof.
    if (isTrying) tries.end(false)
    if (!result.ok && result.isGuess) this.#parts.wrongPassword()
    if (!result.ok) return undefined
    if (result.kind !== 'session') this.know(guest, result.keys)
    return result.keys
  }

  /** A guest has proven itself, here or at the name of a code. */
  know(guest: Name, keys: SessionKeys): void {
    const now = this.#parts.clock.now()
    // Without a hello, keys are soon of no use.
    for (const [id, { session, at }] of this.#known)
      if (session === undefined && (now - at > KEYS_MS || this.#known.size >= KEYS_MAX))
        this.#known.delete(id)
    this.#known.set(keys.id, { guest, keys, at: now, session: undefined })
  }

  /** Nobody gets in any more. */
  close(): void {
    this.#known.clear()
  }

  /** A session has ended, so its keys are void. */
  forget(session: LiveSession): void {
    for (const [id, known] of this.#known) if (known.session === session) this.#known.delete(id)
  }

  /** Answers a guest's handshake through the server, and lets the guest in. */
  async serve(link: ServerLink, from: Name): Promise<void> {
    const { port, clock } = this.#parts
    const line = new ServerLine(link, clock)
    const keys = await this.answer(line, contextOfServer(port.peer.name, link), from)
    line.close()
    const most = port.payloadBytesMax
    if (keys === undefined || most === undefined) return this.#closeLater(link)
    await this.greet(new ServerConduit(link, await createSeal(keys.seal), most), keys)
  }

  /** A channel has opened over which a guest has proven this session. */
  opened(channel: Channel, keys: SessionKeys): void {
    const channels = this.#known.get(keys.id)?.session?.channels
    if (isFirstLabel(channel.label)) this.greet(new ChannelConduit(channel), keys).catch(this.#parts.onError)
    else if (channels === undefined) void channel.close()
    else channels.add(channel)
  }

  /** Waits for the hello of a guest, and answers it. */
  async greet(conduit: OpenConduit, keys: SessionKeys): Promise<void> {
    const { clock } = this.#parts
    const split = new SplitConduit(conduit)
    const hello = await nextControl(split, clock)
    const known = this.#known.get(keys.id)
    if (hello?.session !== 'hello' || known === undefined)
      return void conduit.close('the guest did not say hello', false)
    const answer: ReturnType<DoorParts['welcome']> =
      hello.version === VERSION ? this.#parts.welcome(known.guest, hello) : { refused: 'incompatible' }
    if ('refused' in answer) {
      split.say({ session: 'refused', why: answer.refused })
      return void conduit.close('the guest was refused', true)
    }
    known.session = answer.session
    split.say(answer.welcome)
    answer.session.attach(split, hello.device, hello.number)
  }

  #keysOf(id: string, guest: Name): SessionKeys | undefined {
    const known = this.#known.get(id)
    return known?.guest === guest ? known.keys : undefined
  }

  /** The refusal is still on its way. */
  #closeLater(link: ServerLink): void {
    void link.flushed().then(() => link.close('the handshake failed'))
  }
}
