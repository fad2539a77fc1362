import { EventEmitter } from 'node:events'
import type { Socket } from 'socket.io'
import { Server } from 'socket.io'
import type { NativeConnection } from './connection.js'

// All that touches the socket.io package, private things of it included, with the reason beside each. It makes a peer one
// of socket.io's, and answers its hello. Our frames go past it: it would decode each of them a second time.

/** The longest time that a timer of Node takes. */
const TIMER_MOST_MS = 2 ** 31 - 1
/** A peer comes to the default namespace. All that socket.io is told of its hello: the rest is for the gateway. */
const CONNECT_WITHOUT_HELLO = '0'
/** The type of all that socket.io writes, in engine.io's protocol. */
const MESSAGE = '4'
const TRANSPORT = Object.freeze({ writable: true })
const NO_HANDSHAKE = Object.freeze({})
const NO_ACKS = new Map<never, never>()
const NO_DATA = Object.freeze({})

/** A connection as socket.io sees it: the members of an engine.io socket that its `Client` and its `Socket` use. */
class EngineSocket extends EventEmitter {
  readonly connection: NativeConnection

  constructor(connection: NativeConnection) {
    super()
    this.connection = connection
  }

  /** `Client` takes it for its own. */
  get id(): string {
    return this.connection.id
  }

  /** engine.io's protocol revision: `Client` and `Socket` treat a peer of revision 3 in another way. */
  get protocol(): 4 {
    return 4
  }

  /** `Client` writes, and closes, while it is `open`. */
  get readyState(): 'open' | 'closed' {
    return this.connection.isOpen ? 'open' : 'closed'
  }

  /** `Client` asks it before it writes a volatile packet. */
  get transport(): typeof TRANSPORT {
    return TRANSPORT
  }

  /** `Socket` makes its handshake of these two, once. */
  get request(): NativeConnection['request'] {
    return this.connection.request
  }

  get remoteAddress(): string {
    return this.connection.address
  }

  /** What `Client` writes: an encoded packet, without engine.io's type. */
  write(packet: string | Uint8Array): void {
    if (typeof packet === 'string') this.connection.write(MESSAGE + packet)
  }

  /** `Client` ends a connection so. */
  close(): void {
    this.connection.hangUp()
  }

  /** The connection has ended: `Client` and `Socket` forget it. */
  ended(): void {
    this.emit('close', 'transport close')
    this.removeAllListeners()
  }
}

/** The part of socket.io: it has only peers with a name, so strangers cost it nothing. */
export class SocketIo {
  /** All that `io.bind` needs of an engine are its `connection` events. */
  readonly #engine = new EventEmitter()

  /** `joined`: socket.io has answered the hello of a peer, which is one of its sockets now. */
  constructor(joined: (connection: NativeConnection) => void) {
    // Core closes who does not claim in time, with the reason; socket.io would be silent about it.
    const io = new Server({ serveClient: false, connectTimeout: TIMER_MOST_MS })
    io.bind(this.#engine)
    io.on('connection', (socket) => {
      const engineSocket: unknown = socket.conn
      if (!(engineSocket instanceof EngineSocket)) return
      slim(socket)
      joined(engineSocket.connection)
    })
  }

  join(connection: NativeConnection): void {
    const socket = new EngineSocket(connection)
    connection.socketIo = socket
    this.#engine.emit('connection', socket)
    socket.emit('data', CONNECT_WITHOUT_HELLO)
  }
}

// What socket.io keeps of a handshake, a room for each peer alone, and its acknowledgements (ours are the wire's) are of
// no use here: a third of an idle peer.
function slim(socket: Socket): void {
  // Read-only for applications.
  Reflect.set(socket, 'handshake', NO_HANDSHAKE)
  // Private: the acknowledgements that it waits for.
  Reflect.set(socket, 'acks', NO_ACKS)
  socket.data = NO_DATA
  socket.nsp.adapter.delAll(socket.id)
}
