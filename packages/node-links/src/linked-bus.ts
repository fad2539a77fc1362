import { Batches, encodeEnvelope } from '@peerage/core'
import type { Bus, Clock, Envelope, NodeStatus, OnError, Origin, Published, Receive } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { Arrivals } from './arrivals.js'
import { RemoteNode } from './remote-node.js'
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
  /** Called with an envelope that was reported as `sent`, but that its link did not confirm and the inbox refused. */
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
/** When this many nodes are remembered, those that are gone and have no link are forgotten. */
const REMOTES_MOST = 1_000

/**
 * A bus with two paths to each node: the inbox, and the link if there is one. The envelopes are numbered, which keeps
 * their order on whichever path they go (packages/node-links/SPEC.md).
 */
export class LinkedBus implements Bus {
  readonly #options: LinkedBusOptions
  readonly #unconfirmed: Unconfirmed
  readonly #remotes = new Map<NodeId, RemoteNode>()
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
  /**
   * The count of all numbered envelopes. A new `RemoteNode` starts its numbers here. So a node that was forgotten and
   * comes back gets only numbers above its former ones.
   */
  #numbered = 0
  /** The node of the last warning. There is no other warning while that node is live and no link could be made. */
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
    this.#remotes.clear()
    this.#self = node
    this.#receive = receive
    identify(node)
    await inbox.subscribe(node, (envelope, origin) => this.#fromInbox(envelope, origin))
  }

  publish(to: NodeId, envelope: Envelope): Promise<Published> {
    if (this.#self === undefined || to === this.#self) return this.#options.inbox.publish(to, envelope)
    const remote = this.#remotes.get(to) ?? this.#newRemote(to)
    const number = ++remote.number
    this.#numbered++
    remote.count()
    const link = remote.carrier()
    if (link !== undefined) {
      this.counts.envelopes.link++
      return this.#send(link, number, envelope)
    }
    this.counts.envelopes.inbox++
    const published = this.#publish(remote, this.#self, number, envelope)
    if (remote.countInbox()) void this.#dial(remote)
    return published
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#endAll('closed')
    await this.#options.inbox.close()
  }

  /** Whether a connection that another node dialled would become a link now. */
  wants(node: NodeId): boolean {
    return this.#isWanted(this.#remotes.get(node) ?? this.#newRemote(node), false)
  }

  /** Makes a link of a connection whose two ends have proved who they are, or closes it if no link is wanted. */
  adopt(proven: Proven): void {
    const { clock, limits } = this.#options
    const remote = this.#remotes.get(proven.node) ?? this.#newRemote(proven.node)
    if (!this.#isWanted(remote, proven.dialled)) {
      proven.socket.destroy()
      return
    }
    if (remote.link !== undefined) this.#down(remote, remote.link, 'replaced')
    else this.#makeRoom()
    const link = new Link({
      proven,
      arrivals: remote.arrivals,
      clock,
      limits,
      unconfirmed: this.#unconfirmed,
      onDown: (reason) => this.#down(remote, link, reason),
    })
    remote.link = link
    this.#warnedOf = undefined
    this.counts.up++
    this.counts.ups++
    this.#options.onEvent('link up', { to: remote.node, dialled: link.dialled })
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

  #publish(remote: RemoteNode, node: NodeId, number: number, envelope: Envelope): Promise<Published> {
    const published = this.#options.inbox.publish(remote.node, envelope, { node, number })
    const heard = (is: boolean): void => void (remote.inboxHeard = is)
    published.then(
      (sent) => heard(sent === 'sent'),
      () => heard(false),
    )
    return published
  }

  #newRemote(node: NodeId): RemoteNode {
    const { clock, onError } = this.#options
    if (this.#remotes.size >= REMOTES_MOST) this.#forgetGone()
    const arrivals = new Arrivals({
      deliver: (envelope) => {
        remote.count()
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
    const remote: RemoteNode = new RemoteNode(node, arrivals, clock, this.#numbered)
    this.#remotes.set(node, remote)
    return remote
  }

  #forgetGone(): void {
    for (const { node, link } of this.#remotes.values())
      if (link === undefined && this.#options.status(node).state !== 'live') this.#remotes.delete(node)
  }

  #fromInbox(envelope: Envelope, origin: Origin | undefined): void {
    if (origin === undefined || origin.node === this.#self) {
      this.#receive(envelope)
      return
    }
    const remote = this.#remotes.get(origin.node) ?? this.#newRemote(origin.node)
    remote.arrivals.fromInbox(origin.number, envelope)
  }

  #isWanted(remote: RemoteNode, dialled: boolean): boolean {
    return !this.#closed && this.#mayReplace(remote, dialled) && this.#mayHaveRoom(remote)
  }

  // Two nodes may dial each other at the same moment. Then the dial of the lower NodeId stays. A later second connection
  // means that the other side has lost the first one.
  #mayReplace({ node, link }: RemoteNode, dialled: boolean): boolean {
    if (link === undefined || link.age > MEETING_MS || link.dialled === dialled) return true
    const isLower = this.#self !== undefined && this.#self < node
    return dialled === isLower
  }

  /** Whether there is room for a link: there are fewer links than the limit, or one link has clearly less traffic. */
  #mayHaveRoom(remote: RemoteNode): boolean {
    if (remote.link !== undefined || this.counts.up < this.#options.most) return true
    const least = this.#leastBusy()
    return least !== undefined && remote.traffic > BUSIER * least.traffic
  }

  /** Ends the link with the least traffic, if there are as many links as the limit allows. */
  #makeRoom(): void {
    const least = this.counts.up < this.#options.most ? undefined : this.#leastBusy()
    if (least?.link !== undefined) this.#down(least, least.link, 'replaced')
  }

  /** Ends the link whose unconfirmed envelopes use most of the limit, because that link is the cause. */
  #endFullest(): void {
    let fullest: RemoteNode | undefined
    for (const remote of this.#remotes.values())
      if (remote.link !== undefined && remote.link.share > (fullest?.link?.share ?? 0)) fullest = remote
    if (fullest?.link !== undefined) this.#down(fullest, fullest.link, 'full')
  }

  #leastBusy(): RemoteNode | undefined {
    let least: RemoteNode | undefined
    for (const remote of this.#remotes.values())
      if (remote.link !== undefined && (least === undefined || remote.traffic < least.traffic)) least = remote
    return least
  }

  async #dial(remote: RemoteNode): Promise<void> {
    const { status, dial, onError } = this.#options
    if (this.#closed || status(remote.node).state !== 'live') return
    if (!this.#mayHaveRoom(remote)) return remote.backOff()
    const self = this.#self
    remote.dialling = true
    try {
      const proven = await dial(remote.node)
      // This process may have got another identity meanwhile.
      if (self !== this.#self) return void proven?.socket.destroy()
      if (proven === undefined) remote.backOff()
      else this.adopt(proven)
    } catch (error) {
      remote.backOff()
      this.counts.failures++
      const isLive = (node: NodeId): boolean => status(node).state === 'live'
      if (self !== this.#self || !isLive(remote.node)) return
      if (this.#warnedOf !== undefined && isLive(this.#warnedOf)) return
      this.#warnedOf = remote.node
      onError(error, { stage: 'link', to: remote.node })
    } finally {
      remote.dialling = false
    }
  }

  #endAll(reason: DownReason): void {
    for (const remote of this.#remotes.values())
      if (remote.link !== undefined) this.#down(remote, remote.link, reason)
  }

  /** Ends a link. What the other side has not confirmed goes to the inbox, in order, before anything new [LINK3]. */
  #down(remote: RemoteNode, link: Link, reason: DownReason): void {
    if (remote.link !== link) return
    const { onEvent, undelivered } = this.#options
    const lastedMs = link.age
    remote.ended()
    remote.backOff(lastedMs)
    remote.arrivals.linkEnded()
    this.counts.up--
    this.counts.downs[reason]++
    this.#batches.flushTo(link)
    const left = link.end()
    onEvent('link down', { to: remote.node, reason, unconfirmed: left.length })
    const self = this.#self
    if (self === undefined) return
    for (const { number, envelope } of left) {
      const lost = (): void => undelivered(envelope)
      this.#publish(remote, self, number, envelope).then((sent) => sent === 'unavailable' && lost(), lost)
    }
  }
}
