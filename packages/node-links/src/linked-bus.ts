import { Batches, encodeEnvelope } from '@peerage/core'
import type { Bus, Clock, Envelope, NodeStatus, OnError, Origin, Published, Receive } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { Arrivals } from './arrivals.js'
import { Lane } from './lane.js'
import type { DownReason, Outgoing, Proven, UnconfirmedLimits } from './link.js'
import { Link, Unconfirmed } from './link.js'

export interface LinkedBusOptions {
  /** The bus of the store, the path that every node has. */
  inbox: Bus
  /** Makes a connection to a node, and proves who is at both ends. Undefined: that node takes no link. */
  dial: (node: NodeId) => Promise<Proven | undefined>
  /** Gives this process a new identity. When it returns, connections for the former one are refused. */
  identify: (node: NodeId) => void
  status: (node: NodeId) => NodeStatus
  clock: Clock
  /** How many links there may be at a time. */
  most: number
  limits: UnconfirmedLimits
  /** Called with an envelope that was reported as `sent`, was not confirmed on its link, and is refused by the inbox. */
  undelivered: (envelope: Envelope) => void
  onError: OnError
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/** For metrics. All numbers but `up` count since the start. */
export interface LinkCounts {
  /** How many links there are now. */
  up: number
  /** Envelopes to other nodes, by the path that was tried first. */
  envelopes: { link: number; inbox: number }
  /** Envelopes that arrived again, and were dropped. */
  repeated: number
  /** Records on links that were not envelopes. */
  malformed: number
  ups: number
  downs: Record<DownReason, number>
  /** Dials that failed. */
  failures: number
}

/** Two connections between the same nodes within this time are two dials that met [LINK5]. */
const MEETING_MS = 5_000
/** A link makes room for another node only if that node has more than this many times its traffic [LINK6]. */
const BUSIER = 2
const SENT: Promise<Published> = Promise.resolve('sent')
/** How many nodes are remembered. Beyond that, nodes that are gone are forgotten. */
const LANES_MOST = 1_000

/**
 * A bus with two paths to each node: the inbox, and the link if there is one. The envelopes are numbered, which keeps
 * their order on whichever path they go (packages/node-links/SPEC.md).
 */
export class LinkedBus implements Bus {
  readonly #options: LinkedBusOptions
  readonly #unconfirmed: Unconfirmed
  readonly #lanes = new Map<NodeId, Lane>()
  readonly #batches: Batches<Link, Outgoing>
  readonly counts: LinkCounts = {
    up: 0,
    envelopes: { link: 0, inbox: 0 },
    repeated: 0,
    malformed: 0,
    ups: 0,
    downs: { unconfirmed: 0, full: 0, ended: 0, replaced: 0, identity: 0, closed: 0 },
    failures: 0,
  }
  #self: NodeId | undefined
  #receive: Receive = () => undefined
  /** The count of all numbered envelopes. A lane that is made anew begins here, above all its former numbers. */
  #numbered = 0
  /** The node of the last warning. There is no further one as long as that node is live and no link could be made. */
  #warnedOf: NodeId | undefined
  #closed = false

  constructor(options: LinkedBusOptions) {
    this.#options = options
    this.#unconfirmed = new Unconfirmed(options.limits)
    this.#batches = new Batches({
      clock: options.clock,
      send: (link, outgoing) => link.send(outgoing),
    })
  }

  /** A link belongs to a NodeId, not to a process: links of the former NodeId end before the new one listens [I7]. */
  async subscribe(node: NodeId, receive: Receive): Promise<void> {
    const { inbox, identify } = this.#options
    this.#endAll('identity')
    this.#lanes.clear()
    this.#self = node
    this.#receive = receive
    identify(node)
    await inbox.subscribe(node, (envelope, origin) => this.#fromInbox(envelope, origin))
  }

  publish(to: NodeId, envelope: Envelope): Promise<Published> {
    if (this.#self === undefined || to === this.#self) return this.#options.inbox.publish(to, envelope)
    const lane = this.#lanes.get(to) ?? this.#newLane(to)
    const number = ++lane.number
    this.#numbered++
    lane.count()
    const link = lane.carrier()
    if (link !== undefined) {
      this.counts.envelopes.link++
      return this.#send(link, number, envelope)
    }
    this.counts.envelopes.inbox++
    const published = this.#publish(lane, this.#self, number, envelope)
    if (lane.countInbox()) void this.#dial(lane)
    return published
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#endAll('closed')
    await this.#options.inbox.close()
  }

  /** Whether a connection that another node dialled would become a link now. */
  wants(node: NodeId): boolean {
    return this.#isWanted(this.#lanes.get(node) ?? this.#newLane(node), false)
  }

  /** Makes a link of a connection both of whose ends have proved who they are, or closes it. */
  adopt(proven: Proven): void {
    const { clock, limits } = this.#options
    const lane = this.#lanes.get(proven.node) ?? this.#newLane(proven.node)
    if (!this.#isWanted(lane, proven.dialled)) {
      proven.socket.destroy()
      return
    }
    if (lane.link !== undefined) this.#down(lane, lane.link, 'replaced')
    else this.#makeRoom()
    const link = new Link({
      proven,
      arrivals: lane.arrivals,
      clock,
      limits,
      unconfirmed: this.#unconfirmed,
      onDown: (reason) => this.#down(lane, link, reason),
    })
    lane.link = link
    this.#warnedOf = undefined
    this.counts.up++
    this.counts.ups++
    this.#options.onEvent('link up', { to: lane.node, dialled: link.dialled })
    link.start()
  }

  // The publisher need not wait for the confirmation: `undelivered` gets an envelope that neither path delivers.
  #send(link: Link, number: number, envelope: Envelope): Promise<Published> {
    const record = encodeEnvelope(envelope)
    const bytes = Buffer.byteLength(record)
    // As over the inbox, an acknowledgement may wait for the next envelope [CALL5].
    const isAck = envelope.type === 'deliver' && envelope.message.kind === 'ack'
    this.#batches.add(link, { number, envelope, record, bytes }, isAck)
    link.countUnconfirmed(bytes)
    // Over the limit the bus ends a link rather than refuse the envelope, because the inbox may have room.
    if (this.#unconfirmed.isOver) this.#endFullest()
    return SENT
  }

  #publish(lane: Lane, node: NodeId, number: number, envelope: Envelope): Promise<Published> {
    const published = this.#options.inbox.publish(lane.node, envelope, { node, number })
    const heard = (is: boolean): void => void (lane.inboxHeard = is)
    published.then(
      (sent) => heard(sent === 'sent'),
      () => heard(false),
    )
    return published
  }

  #newLane(node: NodeId): Lane {
    const { clock, onError } = this.#options
    if (this.#lanes.size >= LANES_MOST) this.#forgetGone()
    const arrivals = new Arrivals({
      deliver: (envelope) => {
        lane.count()
        try {
          this.#receive(envelope)
        } catch (error) {
          onError(error, { stage: 'bus receive' })
        }
      },
      repeated: () => void this.counts.repeated++,
      malformed: (records) => {
        this.counts.malformed += records
        onError(new Error('not an envelope'), { stage: 'bus receive', malformed: records })
      },
    })
    const lane: Lane = new Lane(node, arrivals, clock, this.#numbered)
    this.#lanes.set(node, lane)
    return lane
  }

  #forgetGone(): void {
    for (const { node, link } of this.#lanes.values())
      if (link === undefined && this.#options.status(node).state !== 'live') this.#lanes.delete(node)
  }

  #fromInbox(envelope: Envelope, origin: Origin | undefined): void {
    if (origin === undefined || origin.node === this.#self) {
      this.#receive(envelope)
      return
    }
    const lane = this.#lanes.get(origin.node) ?? this.#newLane(origin.node)
    lane.arrivals.fromInbox(origin.number, envelope)
  }

  #isWanted(lane: Lane, dialled: boolean): boolean {
    return !this.#closed && this.#mayReplace(lane, dialled) && this.#mayHaveRoom(lane)
  }

  // Two nodes may dial each other at the same moment. Then the dial of the lower NodeId stays. A later second connection
  // means that the other side has lost the first one.
  #mayReplace({ node, link }: Lane, dialled: boolean): boolean {
    if (link === undefined || link.age > MEETING_MS || link.dialled === dialled) return true
    const isLower = this.#self !== undefined && this.#self < node
    return dialled === isLower
  }

  /** Whether there is room for a link: fewer links than the limit, or one link with clearly less traffic. */
  #mayHaveRoom(lane: Lane): boolean {
    if (lane.link !== undefined || this.counts.up < this.#options.most) return true
    const least = this.#leastBusy()
    return least !== undefined && lane.traffic > BUSIER * least.traffic
  }

  /** Ends the link with the least traffic, if there are as many links as the limit allows. */
  #makeRoom(): void {
    const least = this.counts.up < this.#options.most ? undefined : this.#leastBusy()
    if (least?.link !== undefined) this.#down(least, least.link, 'replaced')
  }

  /** Ends the link on which most is unconfirmed, because the other links are not the cause. */
  #endFullest(): void {
    let fullest: Lane | undefined
    for (const lane of this.#lanes.values())
      if (lane.link !== undefined && lane.link.share > (fullest?.link?.share ?? 0)) fullest = lane
    if (fullest?.link !== undefined) this.#down(fullest, fullest.link, 'full')
  }

  #leastBusy(): Lane | undefined {
    let least: Lane | undefined
    for (const lane of this.#lanes.values())
      if (lane.link !== undefined && (least === undefined || lane.traffic < least.traffic)) least = lane
    return least
  }

  async #dial(lane: Lane): Promise<void> {
    const { status, dial, onError } = this.#options
    if (this.#closed || status(lane.node).state !== 'live') return
    if (!this.#mayHaveRoom(lane)) return lane.backOff()
    const self = this.#self
    lane.dialling = true
    try {
      const proven = await dial(lane.node)
      // This process may have got another identity meanwhile.
      if (self !== this.#self) return void proven?.socket.destroy()
      if (proven === undefined) lane.backOff()
      else this.adopt(proven)
    } catch (error) {
      lane.backOff()
      this.counts.failures++
      const isLive = (node: NodeId): boolean => status(node).state === 'live'
      if (self !== this.#self || !isLive(lane.node)) return
      if (this.#warnedOf !== undefined && isLive(this.#warnedOf)) return
      this.#warnedOf = lane.node
      onError(error, { stage: 'link', to: lane.node })
    } finally {
      lane.dialling = false
    }
  }

  #endAll(reason: DownReason): void {
    for (const lane of this.#lanes.values()) if (lane.link !== undefined) this.#down(lane, lane.link, reason)
  }

  /** Ends a link. What the other side has not confirmed goes to the inbox, in order, before anything new [LINK3]. */
  #down(lane: Lane, link: Link, reason: DownReason): void {
    if (lane.link !== link) return
    const { onEvent, undelivered } = this.#options
    const lastedMs = link.age
    lane.ended()
    lane.backOff(lastedMs)
    lane.arrivals.linkEnded()
    this.counts.up--
    this.counts.downs[reason]++
    this.#batches.flushTo(link)
    const left = link.end()
    onEvent('link down', { to: lane.node, reason, unconfirmed: left.length })
    const self = this.#self
    if (self === undefined) return
    for (const { number, envelope } of left) {
      const lost = (): void => undelivered(envelope)
      this.#publish(lane, self, number, envelope).then((sent) => sent === 'unavailable' && lost(), lost)
    }
  }
}
