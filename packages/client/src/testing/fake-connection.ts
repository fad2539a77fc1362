/** A connection that can restart ICE. It finds one host candidate per description; the test causes all other events. */
export class FakeConnection extends EventTarget {
  signalingState: RTCSignalingState = 'stable'
  connectionState: RTCPeerConnectionState = 'new'
  iceConnectionState: RTCIceConnectionState = 'new'
  localDescription: RTCSessionDescriptionInit | null = null
  #configuration: RTCConfiguration
  /** The lines that follow the first one in descriptions of this side. */
  lines = ''
  restarts = 0
  readonly added: (string | undefined)[] = []
  /** The descriptions of the other side. */
  readonly remote: RTCSessionDescriptionInit[] = []
  readonly streams: FakeStream[] = []

  constructor(configuration: RTCConfiguration = {}) {
    super()
    this.#configuration = configuration
  }

  getConfiguration(): RTCConfiguration {
    return this.#configuration
  }

  setConfiguration(configuration: RTCConfiguration): void {
    this.#configuration = configuration
  }

  createDataChannel(): FakeStream {
    const stream = new FakeStream()
    this.streams.push(stream)
    return stream
  }

  createOffer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: 'offer', sdp: `offer ${this.restarts}${this.lines}` })
  }

  createAnswer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: 'answer', sdp: `answer ${this.restarts}${this.lines}` })
  }

  async setLocalDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.localDescription = description
    this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable'
    this.find('candidate:1 1 udp 1 192.0.2.2 5000 typ host')
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.remote.push(description)
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable'
  }

  async addIceCandidate({ candidate }: RTCIceCandidateInit): Promise<void> {
    this.added.push(candidate)
  }

  restartIce(): void {
    this.restarts++
  }

  close(): void {
    this.connectionState = 'closed'
  }

  find(candidate: string): void {
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: { candidate } }))
  }

  /** Opens all streams. */
  open(): void {
    this.connectionState = 'connected'
    for (const stream of this.streams) stream.readyState = 'open'
    for (const stream of this.streams) stream.dispatchEvent(new Event('open'))
  }

  /** Reports that the path is lost. */
  lose(): void {
    this.connectionState = 'failed'
    this.dispatchEvent(new Event('connectionstatechange'))
  }
}

/** The fake connection, as the type that the SDK uses. */
export function rtcOf(connection: unknown): RTCPeerConnection {
  return connection as RTCPeerConnection
}

export class FakeStream extends EventTarget {
  readyState: RTCDataChannelState = 'connecting'
  binaryType: BinaryType = 'blob'
  bufferedAmount = 0
  bufferedAmountLowThreshold = 0
  readonly sent: unknown[] = []

  send(data: unknown): void {
    this.sent.push(data)
  }

  hear(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }))
  }
}

/** The fake stream, as the type that the SDK uses. */
export function rtcStreamOf(stream: unknown): RTCDataChannel {
  return stream as RTCDataChannel
}
