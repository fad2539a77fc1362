import type { Ending } from '@peerage/core'
import type { Arrival } from '../shared/gateway.js'
import { WebSocketGateway } from '../shared/gateway.js'
import type { UpgradeRefusal } from '../shared/refuse-upgrade.js'
import type { NativeHost } from './connection.js'
import { NativeConnection } from './connection.js'
import { NativeEntry } from './entry.js'
import { NativeFrames } from './frames.js'
import type { NativeGatewayOptions } from './options.js'

/** The first packet of engine.io. What a peer must know about this node follows in it. */
const OPEN = '0'

const NOT_OUR_PROTOCOL: UpgradeRefusal = {
  status: '400 Bad Request',
  reason: 'malformed',
  detail: 'this path speaks engine.io 4 over WebSocket only',
}

/** The native wire: socket.io events over WebSocket at `/peerage/`. SPEC: packages/protocol/SPEC.md. */
export class NativeGateway extends WebSocketGateway<NativeConnection> implements NativeHost {
  readonly entry: NativeEntry
  readonly frames: NativeFrames
  /** The rest of the first packet, after the id of the connection. It is the same for every peer. */
  readonly #handshake: string

  constructor(options: NativeGatewayOptions) {
    const { engine, path } = options
    super(options, { ...engine, wire: 'native', endpoint: { path, setting: 'path' } })
    const { accessEnds } = this
    this.entry = new NativeEntry({ ...options, accessEnds })
    this.frames = new NativeFrames({ ...options, accessEnds }, this.entry)
    const { pingIntervalMs: pingInterval, pingTimeoutMs: pingTimeout, frameBytes: maxPayload } = engine
    this.#handshake = JSON.stringify({ upgrades: [], pingInterval, pingTimeout, maxPayload }).slice(1)
  }

  protected override takesPath(path: string): boolean {
    return path === this.endpoint.path || `${path}/` === this.endpoint.path
  }

  protected override refusalOfUrl(_path: string, query: string): UpgradeRefusal | undefined {
    const asked = new URLSearchParams(query)
    return asked.get('EIO') === '4' && asked.get('transport') === 'websocket' ? undefined : NOT_OUR_PROTOCOL
  }

  protected connectionOf(arrival: Arrival): NativeConnection {
    return new NativeConnection(arrival, this)
  }

  protected opened(connection: NativeConnection): void {
    connection.write(`${OPEN}{"sid":"${connection.id}",${this.#handshake}`)
  }

  /** A peer that means to leave sends `leave`. Any other end may be a reload or a cut, so the peer keeps its name. */
  protected endingOf(): Ending {
    return 'dropped'
  }
}
