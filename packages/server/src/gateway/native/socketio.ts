import { EventEmitter } from 'node:events'
import type { Socket } from 'socket.io'
import { Server } from 'socket.io'
import type { NativeConnection } from './connection.js'

// All code that touches the socket.io package. Each use of its private parts gives a reason. socket.io gets a socket for
// each peer with a name and answers its CONNECT packet. Frames of messages do not pass through socket.io, because it would
// decode each of them a second time.

/** The longest time that a timer of Node accepts. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** A CONNECT packet for the default namespace, as socket.io gets it. The gateway has handled the hello itself. */
const CONNECT_WITHOUT_HELLO = '0'
/** engine.io's packet type for everything that socket.io writes. */
const MESSAGE = '4'
const TRANSPORT = Object.freeze({ writable: true })
const NO_HANDSHAKE = Object.freeze({})
const NO_ACKS = new Map<never, never>()
const NO_DATA = Object.freeze({})

/** A connection as socket.io sees it. It has the members of an engine.io socket that its `Client` and `Socket` use. */
class EngineSocket extends EventEmitter {
  readonly connection: NativeConnection

  constructor(connection: NativeConnection) {
    super()
    this.connection = connection
  }

  /** `Client` uses this id as its own. */
  get id(): string {
    return this.connection.id
  }

  /** The revision of engine.io's protocol. `Client` and `Socket` treat a peer of revision 3 differently. */
  get protocol(): 4 {
    return 4
  }

  /** `Client` writes and closes only while this is `open`. */
  get readyState(): 'open' | 'closed' {
    return this.connection.isOpen ? 'open' : 'closed'
  }

  /** `Client` checks this before it writes a volatile packet. */
  get transport(): typeof TRANSPORT {
    return TRANSPORT
  }

  /** `Socket` makes its handshake of `request` and `remoteAddress`, once. */
  get request(): NativeConnection['request'] {
    return this.connection.request
  }

  get remoteAddress(): string {
    return this.connection.address
  }

  /** `Client` writes an encoded packet, without engine.io's packet type. */
  write(packet: string | Uint8Array): void {
    if (typeof packet === 'string') this.connection.write(MESSAGE + packet)
  }

  /** `Client` calls this to end the connection. */
  close(): void {
    this.connection.hangUp()
  }

  /** The connection has ended. `Client` and `Socket` then forget it. */
  ended(): void {
    this.emit('close', 'transport close')
    this.removeAllListeners()
  }
}

/** The socket.io server. It sees only peers with a name, so a connection without a name costs it nothing. */
export class SocketIo {
  /** `io.bind` needs only the `connection` events of an engine. */
  readonly #engine = new EventEmitter()

  /** `joined` is called when socket.io has answered the CONNECT packet of a peer, which is now one of its sockets. */
  constructor(joined: (connection: NativeConnection) => void) {
    // The core closes peers that do not claim in time and says why. socket.io would close them without a reason.
    const io = new Server({ serveClient: false, connectTimeout: MAX_TIMER_MS })
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

// Drops what socket.io keeps for each socket and we do not need: the handshake, a room for the peer alone, and
// acknowledgements (the native wire has its own). They take a third of the memory of an idle peer.
function slim(socket: Socket): void {
  // Read-only for applications.
  Reflect.set(socket, 'handshake', NO_HANDSHAKE)
  // Private: the acknowledgements that socket.io waits for.
  Reflect.set(socket, 'acks', NO_ACKS)
  socket.data = NO_DATA
  socket.nsp.adapter.delAll(socket.id)
}
