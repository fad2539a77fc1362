import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { bindUdp, decode, encode, find, longTermKey, seal, type Attribute, type Message } from '@peerage/stun'
import type { TurnCredentials } from '@peerage/test-support/coturn.js'

// RFC 8656 §18: the methods and attributes that TURN adds to STUN.
const METHOD = { allocate: 0x003, createPermission: 0x008 } as const
const TYPE = { xorPeerAddress: 0x0012, requestedAddressFamily: 0x0017, requestedTransport: 0x0019 } as const
const UDP = 17
const FAMILY = { v4: 1, v6: 2 } as const
const COOKIE = Buffer.from('2112a442', 'hex')
const ANSWER_MS = 10_000

/** `granted`, or the error code of RFC 8656 §19: 401 wrong credentials, 403 forbidden, 486 over quota. */
export type Answer = 'granted' | number

export interface TurnClient {
  allocate(family?: keyof typeof FAMILY): Promise<Answer>
  /** `address` in network order: 4 or 16 bytes. */
  permit(address: Buffer): Promise<Answer>
  close(): void
}

/** A TURN client with one allocation, on loopback. It implements just enough to be granted or refused. */
export async function openTurnClient(port: number, credentials: TurnCredentials): Promise<TurnClient> {
  const socket = await bindUdp('127.0.0.1', 0)
  let realm = ''
  let nonce = ''
  const send = async (method: number, attributes: Attribute[]): Promise<Answer> => {
    const { username, password } = credentials
    const identity: Attribute[] = [
      { kind: 'username', text: username },
      { kind: 'realm', text: realm },
      { kind: 'nonce', text: nonce },
    ]
    const signed = nonce === '' ? attributes : [...attributes, ...identity]
    const plain = encode({ class: 'request', method, transactionId, attributes: signed })
    const key = longTermKey(username, realm, password)
    const answer = await ask(socket, port, nonce === '' ? plain : seal(plain, { key }), transactionId)
    if (answer.class === 'success') return 'granted'
    const code = find(answer, 'error-code')?.code ?? 0
    const told = find(answer, 'nonce')?.text
    // The server asks for credentials (RFC 8489 §9.2.4); we answer once.
    if (code === 401 && nonce === '' && told !== undefined) {
      nonce = told
      realm = find(answer, 'realm')?.text ?? ''
      return send(method, attributes)
    }
    return code
  }
  const transactionId = randomBytes(12)
  const raw = (type: number, value: Buffer): Attribute => ({ kind: 'unknown', type, value })
  return {
    allocate: (family = 'v4') => {
      transactionId.set(randomBytes(12))
      const attributes = [raw(TYPE.requestedTransport, Buffer.from([UDP, 0, 0, 0]))]
      if (family === 'v6')
        attributes.push(raw(TYPE.requestedAddressFamily, Buffer.from([FAMILY.v6, 0, 0, 0])))
      return send(METHOD.allocate, attributes)
    },
    permit: (address) => {
      transactionId.set(randomBytes(12))
      return send(METHOD.createPermission, [raw(TYPE.xorPeerAddress, peerAddress(address, transactionId))])
    },
    close: () => socket.close(),
  }
}

/** RFC 8656 §18.3: encoded as XOR-MAPPED-ADDRESS. Our codec would write a mapped address as the IPv4 address in it. */
function peerAddress(address: Buffer, transactionId: Buffer): Buffer {
  const mask = Buffer.concat([COOKIE, transactionId])
  const family = address.length === 4 ? FAMILY.v4 : FAMILY.v6
  const head = Buffer.from([0, family, 0, 0])
  head.writeUInt16BE(80 ^ mask.readUInt16BE(0), 2)
  return Buffer.concat([head, address.map((byte, i) => byte ^ (mask[i] ?? 0))])
}

function ask(socket: Socket, port: number, request: Buffer, transactionId: Buffer): Promise<Message> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the TURN server does not answer')), ANSWER_MS)
    const receive = (bytes: Buffer): void => {
      const decoded = decode(bytes)
      if (!decoded.ok || !transactionId.equals(decoded.message.transactionId)) return
      clearTimeout(timer)
      socket.off('message', receive)
      resolve(decoded.message)
    }
    socket.on('message', receive)
    socket.send(request, port, '127.0.0.1')
  })
}
