/** Our P2P server as a process of its own. Its buckets are at work but never empty: the load has one address. */
import { bindUdp, createStunServer } from '@peerage/stun'

const NEVER_EMPTY = 1e9

const socket = await bindUdp('127.0.0.1', 0)
createStunServer({ udp: [socket], rate: { perSecond: NEVER_EMPTY, burst: NEVER_EMPTY } }).start()
console.log(JSON.stringify({ msg: 'ready', port: socket.address().port }))
