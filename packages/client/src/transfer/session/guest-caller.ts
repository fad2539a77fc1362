import type { Name } from '@peerage/protocol'
import type { Clock, Timer } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import { ConnectError } from '../../p2p/connect-error.js'
import { onPageEvent } from '../../platform/page.js'
import { createSeal } from '../keys/seal.js'
import { ChannelConduit } from './channel-conduit.js'
import type { OpenConduit } from './conduits.js'
import { VERSION } from './control.js'
import { nextControl } from './greeting.js'
import type { GuestProver, Verdict } from './guest-prover.js'
import type { LiveSession } from './live-session.js'
import { isFirstLabel, labelsOf } from './labels.js'
import { MoreChannels } from './more-channels.js'
import type { ChannelRules } from './more-channels.js'
import { contextOfServer, ServerLine } from './proof-line.js'
import { ServerConduit } from './server-conduit.js'
import type { ServerPort } from './server-port.js'
import { SplitConduit } from './split-conduit.js'
import { endTexts } from './texts.js'

/** How long one attempt to open a channel may take. */
const CHANNEL_MS = 10_000
/** After this, the server carries the messages until the channel opens. */
const SERVER_MS = 3_000
/** While the server carries the messages, a channel is tried again after this wait, which doubles. */
const UPGRADE_FIRST_MS = 15_000
const UPGRADE_MOST_MS = 120_000
/** While nothing carries the messages, all is tried again after this wait, which doubles. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 15_000
/** If the host is online and nothing has worked so many times, the session has failed. */
const FAILURES_MAX = 3

export interface CallerParts {
  port: ServerPort
  clock: Clock
  session: LiveSession
  prover: GuestProver
  /** The name of the host. */
  name: Name
  device: string
  /** New at each load of the page. */
  instance: string
  ticket: string | undefined
  channels: ChannelRules
  presence: () => 'online' | 'away' | 'offline' | undefined
}

/** Keeps a guest connected to its host: over a channel, else through the server until a channel opens. */
export class GuestCaller {
  readonly #parts: CallerParts
  readonly #ending = new AbortController()
  readonly #stop: () => void
  readonly #labels: ReturnType<typeof labelsOf>
  readonly #more: MoreChannels
  readonly #greetings = new WeakMap<Channel, Promise<boolean>>()
  #failures = 0
  #waits = 0
  #hellos = 0
  /** The next attempt needs no wait, because it is another one. */
  #isAtOnce = false
  /** What went wrong last, for people. */
  #detail: string | undefined
  #wake: () => void = () => undefined
  #timer: Timer | undefined

  constructor(parts: CallerParts) {
    this.#parts = parts
    this.#stop = onPageEvent('online', () => this.nudge())
    const { port, name, channels, session, clock } = parts
    this.#labels = labelsOf(port.peer.name, name)
    this.#more = new MoreChannels(channels, session, clock, () => this.#openMore())
  }

  /** Never rejects. Resolves when the session has ended. */
  async run(): Promise<void> {
    const { session } = this.#parts
    while (!session.isEnded) {
      if (session.way !== 'channel') {
        await this.#tryBoth()
        if (session.isEnded) break
        if (session.way === undefined) this.#failed()
      }
      await this.#pause()
    }
    this.stop()
  }

  /** Something has changed, so an attempt may work now. */
  nudge(): void {
    this.#wake()
  }

  /** The connection is lost. */
  lost(): void {
    this.#waits = 0
    this.#wake()
  }

  stop(): void {
    this.#ending.abort(new Error('the session has ended'))
    this.#stop()
    this.#more.close()
    this.#wake()
  }

  /** A verified channel to the host has opened. */
  opened(channel: Channel): void {
    const { session } = this.#parts
    if (!isFirstLabel(channel.label)) {
      if (session.channels === undefined) void channel.close()
      else session.channels.add(channel)
      return
    }
    const greeting = this.#greet(new ChannelConduit(channel))
    this.#greetings.set(channel, greeting)
  }

  /** Tries a channel, and soon also the server, which the channel replaces when it opens. */
  async #tryBoth(): Promise<void> {
    const { session, clock } = this.#parts
    const channel = this.#tryChannel()
    if (session.way === undefined) {
      let timer: Timer | undefined
      const late = new Promise<boolean>((resolve) => {
        timer = clock.after(SERVER_MS, () => resolve(false))
      })
      const isOpen = await Promise.race([channel, late])
      timer?.cancel()
      if (!isOpen && session.way === undefined && !session.isEnded) await this.#tryServer()
    }
    await channel
  }

  async #tryChannel(): Promise<boolean> {
    const { port, name, prover } = this.#parts
    const { p2p } = port.peer
    if (p2p === null) return false
    prover.verdict = undefined
    try {
      const options = { label: this.#labels.first, deadlineMs: CHANNEL_MS, signal: this.#ending.signal }
      const channel = await p2p.connect(name, options)
      return (await this.#greetings.get(channel)) ?? false
    } catch (error) {
      if (error instanceof ConnectError && error.stage === 'not-found') this.#notFound()
      else this.#detail = messageOf(error)
      this.#judge(prover.verdict)
      return false
    }
  }

  async #tryServer(): Promise<boolean> {
    const { port, name, prover, clock, session } = this.#parts
    const most = port.payloadBytesMax
    if (most === undefined) this.#detail ??= 'no channel can be opened here, and the server carries no files'
    if (most === undefined || session.isEnded) return false
    const link = port.open(name)
    const line = new ServerLine(link, clock)
    const verdict = await prover.prove(line, contextOfServer(port.peer.name, link))
    line.close()
    if (!verdict.ok) {
      if (link.closed !== undefined) this.#detail = link.closed
      link.close('the handshake failed')
      this.#judge(verdict)
      return false
    }
    // The channel was faster.
    if (session.way === 'channel') link.close('a channel has opened')
    return (
      session.way === 'channel' ||
      this.#greet(new ServerConduit(link, await createSeal(verdict.keys.seal), most))
    )
  }

  /** Says hello on a verified conduit. True: the host has welcomed this guest, and the session uses the conduit. */
  async #greet(conduit: OpenConduit): Promise<boolean> {
    const { session, device, instance, clock } = this.#parts
    const split = new SplitConduit(conduit)
    const number = ++this.#hellos
    const ticket = session.guestTicket ?? this.#parts.ticket
    split.say({
      session: 'hello',
      version: VERSION,
      device,
      instance,
      number,
      ...(ticket !== undefined && { ticket }),
    })
    const answer = await nextControl(split, clock)
    if (answer?.session === 'welcome' && answer.version === VERSION) {
      this.#failures = this.#waits = 0
      session.taken(answer.ticket, answer.isTaken)
      session.setTerms(answer)
      session.attach(split, answer.device, number)
      return !session.isEnded
    }
    void conduit.close('the host did not welcome this guest', false)
    if (answer?.session === 'welcome') session.end('incompatible')
    if (answer?.session === 'refused' && answer.why !== 'busy') session.end(answer.why)
    if (answer?.session === 'bye') session.end('closed-there')
    return false
  }

  #openMore(): void {
    const { port, name, channels } = this.#parts
    for (const label of this.#labels.more.slice(0, channels.count - 1))
      // Without it, the first channel carries all.
      port.peer.p2p?.connect(name, { label, signal: this.#ending.signal }).catch(() => undefined)
  }

  #judge(verdict: Verdict | undefined): void {
    const { session } = this.#parts
    if (verdict === undefined || verdict.ok) return
    const { why } = verdict
    switch (why) {
      case 'again':
        this.#isAtOnce = true
        return
      case 'not-loaded':
        return session.end('failed', verdict.detail)
      case 'password-needed':
      case 'password-not-needed':
        return session.end('wrong-password', 'the share has a password')
      case 'not-the-session':
        return
      case 'wrong-key':
        return session.end('not-verified')
      case 'taken':
        return session.end('taken-elsewhere')
      case 'no-code':
        return session.end('wrong-code')
      case 'malformed':
        return session.end('incompatible')
      case 'wrong-password':
        return session.wrongPassword(verdict.triesLeft)
      case 'wrong-link':
      case 'wrong-code':
      case 'not-verified':
      case 'incompatible':
      case 'locked':
      case 'stopped':
      case 'expired':
        return session.end(why)
      case 'busy':
        this.#detail = 'the other side takes no connection at the moment'
        return
      case 'broken-off':
      // The line has closed, and the error of the attempt says why.
    }
  }

  #notFound(): void {
    this.#detail = endTexts['not-found']
    // Before the first connection, the person can check the link. Later the host may come back.
    const { session, presence } = this.#parts
    if (session.state.name === 'connecting' && presence() === 'offline') session.end('not-found')
  }

  #failed(): void {
    const { session, presence } = this.#parts
    if (session.state.name !== 'connecting' || this.#isAtOnce) return
    if (presence() === 'offline') return this.#notFound()
    if (presence() !== 'online') return
    if (++this.#failures >= FAILURES_MAX) session.end('failed', this.#detail)
  }

  /** Waits until the next attempt: some time, or until something changes. */
  async #pause(): Promise<void> {
    const { session, clock } = this.#parts
    if (session.isEnded) return
    if (this.#isAtOnce) {
      this.#isAtOnce = false
      return
    }
    const [first, most] =
      session.way === 'server' ? [UPGRADE_FIRST_MS, UPGRADE_MOST_MS] : [AGAIN_FIRST_MS, AGAIN_MOST_MS]
    const waitMs = Math.min(most, first * 2 ** Math.min(this.#waits++, 10))
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (session.way !== 'channel') this.#timer = clock.after(waitMs, resolve)
    })
    this.#timer?.cancel()
    this.#wake = () => undefined
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
