// A peer of the test matrix that uses the SDK: in a page, or in a Node process with any stack. It carries out the commands
// of `peers.ts`, one at a time, and records the events of its connections.

const CHUNK_BYTES = 16 * 1024
/** The most that crypto.getRandomValues fills at once. */
const RANDOM_BYTES = 64 * 1024
const TRACE_MAX = 200

/**
 * Watches every connection and channel of this class, whoever makes them.
 * @returns {{ trace: [number, string][], states(): string[], buffered: { most: number } }}
 */
export function watch(PeerConnection) {
  const trace = []
  const connections = new Map()
  const buffered = { most: 0 }
  const note = (text) => {
    trace.push([Date.now(), text])
    if (trace.length > TRACE_MAX) trace.shift()
  }
  const { prototype } = PeerConnection
  const { createDataChannel } = prototype
  prototype.createDataChannel = function (label, options) {
    const channel = createDataChannel.call(this, label, options)
    if (!connections.has(this)) {
      connections.set(this, { number: connections.size + 1, channels: [] })
      const { number } = connections.get(this)
      for (const kind of ['connection', 'iceConnection', 'signaling'])
        this.addEventListener(`${kind.toLowerCase()}statechange`, () =>
          note(`connection ${number}: ${kind} ${this[`${kind}State`]}`),
        )
    }
    const { number, channels } = connections.get(this)
    const id = options?.id ?? label
    channels.push({ id, channel })
    for (const event of ['open', 'closing', 'close', 'error'])
      channel.addEventListener(event, (details) =>
        note(`connection ${number}: stream ${id} ${event} ${details?.error ?? ''}`.trimEnd()),
      )
    const send = channel.send
    channel.send = (data) => {
      send.call(channel, data)
      buffered.most = Math.max(buffered.most, channel.bufferedAmount)
    }
    return channel
  }
  const states = () =>
    [...connections].map(([connection, { number, channels }]) => {
      const { connectionState, iceConnectionState, signalingState } = connection
      const streams = channels.map(
        ({ id, channel }) => `stream ${id} ${channel.readyState}, ${channel.bufferedAmount} bytes wait`,
      )
      const state = `${connectionState}, ICE ${iceConnectionState}, signaling ${signalingState}`
      return `connection ${number}: ${[state, ...streams].join('; ')}`
    })
  return { trace, states, buffered }
}

export class SdkPeer {
  #connect
  #p2p
  #watched
  #peer
  #channel
  #closed
  #opened = 0
  #errors = []
  #received = []
  #receivedBytes = 0
  #waiting = new Set()

  /** `p2p`: options for `connect`. `PeerConnection`: the class that the SDK will use. */
  constructor(connect, PeerConnection, p2p = {}) {
    this.#connect = connect
    this.#p2p = p2p
    this.#watched = watch(PeerConnection)
  }

  /** Answers one command. */
  async handle({ do: what, ...options }) {
    switch (what) {
      case 'connect':
        return this.#online(options)
      case 'call':
        return this.#call(options)
      case 'opened':
        await this.#until(() => this.#channel !== undefined)
        return {}
      case 'send':
        return this.#send(options)
      case 'receive':
        return this.#receive(options)
      case 'close':
        return this.#close()
      case 'hangUp':
        return this.#hangUp()
      case 'closed':
        await this.#until(() => this.#channel === undefined)
        return this.#closed
      case 'state':
        return this.#state()
      case 'leave':
        await this.#peer?.leave()
        return {}
      default:
        throw new Error(`unknown command ${what}`)
    }
  }

  async #online({ url, name }) {
    this.#peer = await this.#connect(url, { name, storage: null, p2p: this.#p2p })
    this.#peer.on('error', (error) => this.#errors.push(String(error)))
    this.#peer.p2p.on('channel-opened', (channel) => {
      this.#opened++
      this.#channel = channel
      channel.on('message', (data) => {
        this.#received.push(data)
        this.#receivedBytes += data.length
        this.#wake()
      })
      channel.on('close', (reason) => {
        this.#closed = { at: Date.now(), reason }
        if (this.#channel === channel) this.#channel = undefined
        this.#wake()
      })
      this.#wake()
    })
    return {}
  }

  async #call({ to, deadlineMs }) {
    const startedAt = performance.now()
    await this.#peer.p2p.connect(to, { deadlineMs })
    return { ms: performance.now() - startedAt }
  }

  async #send({ bytes }) {
    const data = new Uint8Array(bytes)
    for (let at = 0; at < bytes; at += RANDOM_BYTES)
      crypto.getRandomValues(data.subarray(at, at + RANDOM_BYTES))
    const sha256 = await sha256Of(data)
    const { buffered } = this.#watched
    buffered.most = 0
    const startedAt = Date.now()
    // All bytes are sent at once, so that every stack has to wait, however fast it is.
    const sends = []
    for (let at = 0; at < bytes; at += CHUNK_BYTES)
      sends.push(this.#channel.send(data.subarray(at, at + CHUNK_BYTES)))
    await Promise.all(sends)
    return { sha256, startedAt, mostBuffered: buffered.most }
  }

  async #receive({ bytes }) {
    await this.#until(() => this.#receivedBytes >= bytes || this.#channel === undefined)
    const at = Date.now()
    const data = new Uint8Array(this.#receivedBytes)
    let end = 0
    for (const part of this.#received.splice(0)) {
      if (typeof part === 'string') throw new Error('received text instead of bytes')
      data.set(part, end)
      end += part.length
    }
    this.#receivedBytes = 0
    return { sha256: await sha256Of(data), bytes: end, at }
  }

  async #close() {
    const at = Date.now()
    await this.#channel.close()
    return { at, ms: Date.now() - at }
  }

  /** Closes all channels at once, as a peer that leaves does. */
  async #hangUp() {
    const at = Date.now()
    await this.#peer.p2p.close()
    return { at, ms: Date.now() - at }
  }

  #state() {
    const watched = this.#watched
    return {
      opened: this.#opened,
      states: [`${this.#receivedBytes} bytes received`, ...watched.states(), ...this.#errors],
      trace: watched.trace,
    }
  }

  async #until(holds) {
    while (!holds()) await new Promise((resolve) => this.#waiting.add(resolve))
  }

  #wake() {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

async function sha256Of(data) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
