import type { ChannelParts } from './channel/channel.js'
import { Channel } from './channel/channel.js'
import type { FramesContext } from './channel/frames.js'
import { Frames } from './channel/frames.js'
import type { Handshake } from './handshake/negotiation.js'
import type { Streams } from './channel/streams.js'

type Given = Pick<ChannelParts, 'to' | 'terms' | 'clock' | 'onClosing' | 'onError'> &
  Pick<FramesContext, 'carriers'>

/** What a handshake that has opened became: its channel, and delivery's frames beside it. */
export function openChannel(
  handshake: Handshake,
  connection: RTCPeerConnection,
  streams: Streams,
  given: Given,
): Channel {
  const frames = new Frames(given, given.to, streams.frames, (messages) => {
    handshake.heardBye()
    channel.closing(messages)
  })
  const channel: Channel = new Channel({
    ...given,
    stream: streams.data,
    connection,
    hosts: handshake.hosts,
    messageBytesMax: handshake.messageBytesMax,
    bye: (messages) => frames.bye(messages),
    end: (reason) => void handshake.close(reason),
    giveUp: (reason) => handshake.end(handshake.stage, reason),
  })
  channel.on('close', () => frames.close())
  return channel
}
