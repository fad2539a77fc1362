import { joinRoom } from '@trystero-p2p/torrent'
import { roomPeer } from './trystero-room.mjs'

export const peer = roomPeer(joinRoom)
