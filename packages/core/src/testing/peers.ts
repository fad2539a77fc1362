import type { CloseReason, ConnectionId, Name } from '@peerage/protocol'
import { nameOf, parseApp, parseConnectionId, parseName, peerOf } from '@peerage/protocol'
import type { ClaimOutcome } from '../names/claims.js'
import type {
  AnonymousSession,
  CloseOptions,
  Connection,
  Holder,
  OnlineSession,
  ServerMessage,
} from '../sessions/sessions.js'
import type { Message, Wire } from '../routing/message.js'
import type { Node } from '../node.js'

/** A connection that records everything that is sent to it. */
export class RecordedConnection implements Connection {
  readonly id: ConnectionId
  readonly wire: Wire
  readonly sent: ServerMessage[] = []
  closed: CloseReason | undefined
  closedWith: CloseOptions | undefined
  /** True: as if its socket were full. */
  full = false
  leavesAtEnd = false

  constructor(id: string, wire: Wire = 'native') {
    const parsed = parseConnectionId(id)
    if (!parsed.ok) throw new Error(parsed.problem)
    this.id = parsed.value
    this.wire = wire
  }

  get isBehind(): boolean {
    return this.full
  }

  get isOpen(): boolean {
    return this.closed === undefined
  }

  send(message: ServerMessage): boolean {
    if (this.full || this.closed !== undefined) return false
    this.sent.push(message)
    return true
  }

  close(reason: CloseReason, options?: CloseOptions): void {
    if (this.closed === undefined) this.closedWith = options
    this.closed ??= reason
  }

  /** The frames of relayed messages, in order. */
  get frames(): string[] {
    return this.sent.flatMap((message) => (message.type === 'relay' ? [message.message.frame] : []))
  }

  /** What was published in anonymous rooms, in order: the text, and how many members there were. */
  get published(): string[] {
    return this.sent.flatMap((message) =>
      message.type === 'published' ? [`${message.text} ${message.members}`] : [],
    )
  }

  get notices(): { ref: string; code: string }[] {
    return this.sent.flatMap((message) =>
      message.type === 'notice' ? [{ ref: message.ref, code: message.code }] : [],
    )
  }
}

export function peerNamed(name: string, app = 'default'): ReturnType<typeof peerOf> {
  const [parsedApp, parsedName] = [parseApp(app), parseName(name)]
  if (!parsedApp.ok) throw new Error(parsedApp.problem)
  if (!parsedName.ok) throw new Error(parsedName.problem)
  return peerOf(parsedApp.value, parsedName.value)
}

let serial = 0

export interface Arrival {
  connection: RecordedConnection
  outcome: ClaimOutcome
  /** Throws if the claim was refused. */
  session: OnlineSession
}

/** Opens a connection on a node and claims a name. */
export async function arrive(
  node: Node,
  name: string,
  options: {
    secret?: string
    wire?: Wire
    policy?: 'refuse' | 'replace'
    isListed?: boolean
    holder?: Holder
  } = {},
): Promise<Arrival> {
  serial++
  const connection = new RecordedConnection(serial.toString(36), options.wire)
  node.open(connection)
  const { secret = `secret-of-${name}`, policy = 'refuse', isListed = true } = options
  const { holder } = options
  const outcome = await node.claim(connection, {
    peer: peerNamed(name),
    secret,
    policy,
    isListed,
    ...(holder === undefined ? {} : { holder }),
  })
  return {
    connection,
    outcome,
    get session(): OnlineSession {
      const session = node.sessions.get(connection.id)
      if (session?.state !== 'online') throw new Error(`${name} is ${session?.state ?? 'gone'}`)
      return session
    },
  }
}

/** Opens a connection on a node that comes in without a name. Throws if it was refused. */
export function comeIn(
  node: Node,
  options: { app?: string; wire?: Wire; holder?: Holder } = {},
): { connection: RecordedConnection; session: AnonymousSession } {
  serial++
  const connection = new RecordedConnection(serial.toString(36), options.wire ?? 'y-webrtc')
  node.open(connection)
  const app = parseApp(options.app ?? 'default')
  if (!app.ok) throw new Error(app.problem)
  const admission = node.admit(connection, app.value, options.holder)
  if (!admission.ok) throw new Error(`not admitted: ${admission.code}`)
  return { connection, session: admission.session }
}

/** A message as a gateway would make it. `ref` is the reference that its notice would carry. */
export function messageFrom(
  node: Node,
  from: Arrival,
  to: string,
  more: Partial<Message> & { ref?: string } = {},
): Message {
  const { ref = '1', ...rest } = more
  const name: Name = nameOf(from.session.peer)
  return {
    from: from.session.peer,
    to: peerNamed(to),
    wire: from.connection.wire,
    kind: 'message',
    reply: { node: node.id, connection: from.connection.id, ref },
    frame: `${name} says ${ref}`,
    ...rest,
  }
}
