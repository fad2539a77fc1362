/** Our P2P server as its own process. Its rate buckets are used but never empty, because all load has one address. */
import { bindUdp, createStunServer } from '@peerage/stun'

const NEVER_EMPTY = 1e9

const socket = await bindUdp('127.0.0.1', 0)
createStunServer({ udp: [socket], rate: { perSecond: NEVER_EMPTY, burst: NEVER_EMPTY } }).start()
console.log(JSON.stringify({ msg: 'ready', port: socket.address().port }))
