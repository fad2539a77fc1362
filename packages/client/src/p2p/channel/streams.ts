import type { Clock } from '../../lib/clock.js'
import type { Terms } from '../handshake/handshake-signal.js'
import { Stream } from './stream.js'

/** Application data and delivery frames each have their own stream (RFC 8832 §6: ids agreed beforehand). */
export interface Streams {
  data: Stream
  frames: Stream
}

export interface StreamEvents {
  /** Both are open: once. */
  onOpen(streams: Streams): void
  /** One of them closed, opened or not. */
  onClose(): void
  /** One of them takes nothing any more. */
  onStall(): void
}

export function makeStreams(connection: RTCPeerConnection, terms: Terms, clock: Clock): Streams {
  const { label, ordered, maxRetransmits } = terms
  const lossy = maxRetransmits === undefined ? {} : { maxRetransmits }
  const make = (name: string, id: number, options: RTCDataChannelInit = {}): Stream =>
    new Stream(connection.createDataChannel(name, { negotiated: true, id, ...options }), clock)
  return { frames: make('peerage', 0), data: make(label, 1, { ordered, ...lossy }) }
}

/** What comes over one before both are open is heard after `onOpen`. */
export function watchStreams(streams: Streams, events: StreamEvents): void {
  const { data, frames } = streams
  let isOpen = false
  const onOpen = (): void => {
    if (isOpen || !data.isOpen || !frames.isOpen) return
    isOpen = true
    events.onOpen(streams)
  }
  for (const stream of [data, frames])
    stream.watch({ onOpen, onClose: () => events.onClose(), onStall: () => events.onStall() })
}
