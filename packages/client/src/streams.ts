import type { Terms } from './handshake-signal.js'

/** Application data and delivery frames each have their own stream (RFC 8832 §6: ids agreed beforehand). */
export interface Streams {
  data: RTCDataChannel
  frames: RTCDataChannel
}

export interface StreamEvents {
  /** Both are open: once. */
  onOpen(streams: Streams): void
  /** One of them closed, opened or not. */
  onClose(): void
}

export function makeStreams(connection: RTCPeerConnection, terms: Terms): Streams {
  const { label, ordered, maxRetransmits } = terms
  const lossy = maxRetransmits === undefined ? {} : { maxRetransmits }
  return {
    frames: connection.createDataChannel('peerage', { negotiated: true, id: 0 }),
    data: connection.createDataChannel(label, { negotiated: true, id: 1, ordered, ...lossy }),
  }
}

/** What comes over one before both are open is heard after `onOpen`. */
export function watchStreams(streams: Streams, events: StreamEvents): void {
  const { data, frames } = streams
  // Forgotten when both are open. Listeners that a signal removes are no way: of two on one target, Node 20 forgets to
  // remove the first, where its garbage was collected meanwhile.
  let early: { stream: RTCDataChannel; data: unknown }[] | undefined = []
  const onOpen = (): void => {
    if (!early || data.readyState !== 'open' || frames.readyState !== 'open') return
    const kept = early
    early = undefined
    events.onOpen(streams)
    for (const { stream, ...message } of kept) stream.dispatchEvent(new MessageEvent('message', message))
  }
  for (const stream of [data, frames]) {
    stream.binaryType = 'arraybuffer'
    stream.addEventListener('message', (message: MessageEvent<unknown>) => {
      early?.push({ stream, data: message.data })
    })
    stream.addEventListener('open', onOpen)
    stream.addEventListener('close', () => events.onClose())
  }
}
