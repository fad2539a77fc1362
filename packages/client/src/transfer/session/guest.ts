import { parseName } from '@peerage/protocol'
import type { Name } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import type { HandshakeContext, Line, SessionKeys } from '../keys/handshake.js'
import { parseFragment } from '../keys/link.js'
import type { FragmentMistake, LinkKey } from '../keys/link.js'
import type { ChannelRules } from './more-channels.js'
import type { JoinOptions, ShareLink } from '../sharing.js'
import type { ShareGuest } from '../types.js'
import { GuestCaller } from './guest-caller.js'
import { GuestProver } from './guest-prover.js'
import { guestCodes } from './lazy.js'
import { isFirstLabel } from './labels.js'
import type { LiveSession } from './live-session.js'
import type { Presences } from './presences.js'
import type { ServerPort } from './server-port.js'
import { shareIdOf } from './share-id.js'

/** What a guest has of a share. */
export type Invitation = { kind: 'link'; link: ShareLink } | { kind: 'code'; code: string }

export interface GuestParts {
  port: ServerPort
  presences: Presences
  clock: Clock
  device: string
  instance: string
  channels: ChannelRules
  options: JoinOptions
  /** Makes the transfer and the session. The host, and the id of the share, may be known only later. */
  open: (
    host: () => ShareGuest,
    share: () => string,
    link: () => ShareLink | undefined,
    hooks: { onLost(): void; onEnded(): void },
  ) => LiveSession
  /** The name of the host is known: only one guest at a time has a session with it. */
  named: (name: Name, guest: Guest) => void
  ended: (guest: Guest) => void
}

/** This peer as the guest of one share. */
export class Guest {
  readonly session: LiveSession
  readonly #parts: GuestParts
  readonly #ending = new AbortController()
  #name: Name | undefined
  #share = ''
  #link: ShareLink | undefined
  #prover: GuestProver | undefined
  #caller: GuestCaller | undefined
  #unwatch: () => void = () => undefined

  constructor(parts: GuestParts) {
    this.#parts = parts
    this.session = parts.open(
      () => ({ name: this.#name ?? unnamed(), device: '' }),
      () => this.#share,
      () => this.#link,
      { onLost: () => this.#caller?.lost(), onEnded: () => this.#ended() },
    )
  }

  get name(): Name | undefined {
    return this.#name
  }

  /** Never rejects. */
  async begin(invitation: Invitation): Promise<void> {
    try {
      if (invitation.kind === 'link') return await this.#beginLink(invitation.link)
      const { port, clock } = this.#parts
      const { enterCode } = await guestCodes()
      const result = await enterCode(invitation.code, port, clock, this.#ending.signal)
      if (!result.ok) return this.session.end(result.why, result.detail)
      const { name, fragment, key, keys } = result.entered
      await this.#call({ name, fragment }, name, key, keys)
    } catch (error) {
      this.session.end('failed', error instanceof Error ? error.message : String(error))
    }
  }

  /** The host of a new channel proves itself, and so does this guest. */
  async prove(line: Line, context: HandshakeContext, label: string): Promise<boolean> {
    const prover = this.#prover
    // A further channel belongs to a session.
    if (prover === undefined || this.session.isEnded || (!isFirstLabel(label) && !prover.hasSession))
      return false
    const verdict = await prover.prove(line, context)
    if (isFirstLabel(label)) prover.verdict = verdict
    return verdict.ok
  }

  opened(channel: Channel): void {
    if (this.#caller === undefined || this.session.isEnded) void channel.close()
    else this.#caller.opened(channel)
  }

  /** Something has changed, so that a connection may be possible now. */
  nudge(): void {
    this.#caller?.nudge()
  }

  async #beginLink({ name, fragment }: ShareLink): Promise<void> {
    const parsedName = parseName(name)
    if (!parsedName.ok) return this.session.end('wrong-link', parsedName.problem)
    if (parsedName.value === this.#parts.port.peer.name)
      return this.session.end('failed', 'this is the link of this side itself; open it on another device')
    const parsed = parseFragment(fragment)
    if (!parsed.ok) return this.session.end('wrong-link', mistakeTexts[parsed.why])
    await this.#call({ name, fragment }, parsedName.value, parsed.key)
  }

  async #call(link: ShareLink, name: Name, key: LinkKey, keys?: SessionKeys): Promise<void> {
    if (this.session.isEnded) return
    const { port, presences, clock, device, instance, channels, options, named } = this.#parts
    this.#link = link
    this.#name = name
    this.#share = shareIdOf(key.keyHash)
    named(name, this)
    this.#prover = new GuestProver(key, options.password, keys)
    this.#unwatch = presences.watch(name, () => {
      this.session.presenceChanged()
      if (presences.of(name) === 'online') this.nudge()
    })
    this.#caller = new GuestCaller({
      port,
      clock,
      session: this.session,
      prover: this.#prover,
      name,
      device,
      instance,
      ticket: options.ticket,
      channels,
      presence: () => presences.of(name),
    })
    await this.#caller.run()
  }

  #ended(): void {
    this.#ending.abort(new Error('the session has ended'))
    this.#caller?.stop()
    this.#unwatch()
    this.#parts.ended(this)
  }
}

/** Stands for the host of a code, whose name only its guest learns. */
function unnamed(): Name {
  const parsed = parseName('?')
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

const mistakeTexts: Record<FragmentMistake, string> = {
  missing: 'the part of the link after # is missing; copy the whole link',
  'cut-short': 'the end of the link is missing; copy the whole link',
  'too-long': 'something follows the link; copy only the link',
  'bad-characters': 'the link has characters that no link has; copy it again',
  'other-version': 'the link was made by another version; reload the page, or update the program',
}
