import { createHash, randomBytes } from 'node:crypto'
import { connect } from '@peerage/client'
import type { ConnectOptions, Peer } from '@peerage/client'
import { createSharing } from '@peerage/client/transfer'
import type {
  HostOptions,
  JoinOptions,
  ShareHost,
  ShareSession,
  Sharing,
  SharingOptions,
  Source,
  Store,
  TransferFile,
} from '@peerage/client/transfer'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, type Deployment } from '@peerage/test-support/redis-topologies.js'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

// Sharing between two peers on two nodes, over real channels and through real nodes.

const MIB = 1024 * 1024
const WAIT = { timeout: 60_000 }

let redis: Deployment
let nodes: Node[]

beforeAll(async () => {
  redis = await startTopology('standalone')
  nodes = await startNodes(2, { redisUrl: redis.url })
})

afterAll(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** A file in memory. `slowMs`: how long each block takes to read. */
function fileOf(path: string, bytes: Uint8Array, slowMs = 0): Source {
  return {
    info: { path, size: bytes.length, type: 'application/octet-stream', modifiedAt: 1_796_000_000_000 },
    async readBlock(index) {
      if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs))
      const block = new Uint8Array(bytes.subarray(index * MIB, (index + 1) * MIB))
      return { bytes: block, hash: new Uint8Array(createHash('sha256').update(block).digest()) }
    },
  }
}

/** Keeps blocks by share and file, so that it is as durable as this object. */
class KeepingStore implements Store {
  readonly isDurable = true
  readonly bytesMax = Infinity
  readonly files = new Map<string, Map<number, Uint8Array<ArrayBuffer>>>()
  puts = 0

  async open({ path, size }: TransferFile, share: string): ReturnType<Store['open']> {
    const key = `${share} ${path} ${size}`
    const blocks = this.files.get(key) ?? new Map<number, Uint8Array<ArrayBuffer>>()
    this.files.set(key, blocks)
    const kept = new Map([...blocks].map(([index, bytes]) => [index, hashOf(bytes)]))
    return {
      kept,
      inOrder: false,
      put: async (index, { bytes, hash }) => {
        if (sha256(bytes) !== Buffer.from(hash).toString('hex')) return false
        blocks.set(index, bytes.slice())
        this.puts++
        return true
      },
      finish: async () => ({
        kind: 'blob',
        blob: new Blob([...blocks].sort(([a], [b]) => a - b).map(([, bytes]) => bytes)),
      }),
      discard: async () => void this.files.delete(key),
      close: async () => undefined,
    }
  }
}

const hashOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())

interface Side {
  sharing: Sharing
  peer: Peer
  store: KeepingStore
}

let names = 0
const nameOf = (what: string): string => `${what}-${++names}`

/** Connects a peer that shares. */
async function sideOn(
  node: number,
  what: string,
  { p2p, ...options }: ConnectOptions & { sharing?: Partial<SharingOptions> } = {},
): Promise<Side> {
  const store = new KeepingStore()
  const url = nodes[node]?.url ?? ''
  const connectAs = (name: string): Promise<Peer> => connect(url, { name, storage: null, p2p: false })
  const sharing = createSharing({ store, connectAs, device: what, ...options.sharing })
  const { sharing: _, ...rest } = options
  const verified = p2p === false ? false : { ...p2p, verify: sharing.verify }
  const peer = await connect(url, { name: nameOf(what), storage: null, ...rest, p2p: verified })
  sharing.start(peer)
  onTestFinished(async () => {
    sharing.close()
    await peer.leave()
  })
  return { sharing, peer, store }
}

/** Opens the link of the host. */
function join(guest: Side, host: ShareHost, options?: JoinOptions): ShareSession {
  const { searchParams, hash } = new URL(host.link('https://peers.example/'))
  return guest.sharing.join({ name: searchParams.get('peer_id') ?? '', fragment: hash.slice(1) }, options)
}

const filesOf = (session: ShareSession): TransferFile[] =>
  session.transfer.state.items.filter((item) => item.kind === 'file')

/** Accepts all files as soon as they are offered, and resolves when they are complete. */
async function receiveAll(session: ShareSession, count = 1): Promise<Uint8Array[]> {
  await expect.poll(() => filesOf(session).length, WAIT).toBe(count)
  session.transfer.accept(filesOf(session).map(({ key }) => key))
  await expect.poll(() => filesOf(session).map(({ state }) => state.name), WAIT).toEqual(Array(count).fill('complete'))
  return Promise.all(
    filesOf(session).map(async ({ state }) => {
      if (state.name !== 'complete' || state.received?.kind !== 'blob') throw new Error('not received')
      return new Uint8Array(await state.received.blob.arrayBuffer())
    }),
  )
}

const stateOf = (session: ShareSession): unknown => session.state

test('[FT50] a file arrives over a direct channel with the same SHA-256', async () => {
  const [host, guest] = [await sideOn(0, 'host'), await sideOn(1, 'guest')]
  const file = randomBytes(20 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('folder/file.bin', file)])
  const session = join(guest, share)
  const [received] = await receiveAll(session)
  expect(sha256(received ?? new Uint8Array())).toBe(sha256(file))
  expect(stateOf(session)).toMatchObject({ name: 'open', path: 'direct' })
  expect(session.peer).toEqual({ name: host.peer.name, device: 'host' })
  expect(share.sessions.map(({ peer }) => peer)).toEqual([{ name: guest.peer.name, device: 'guest' }])
})

test('[FT56] without P2P a file arrives through the server with the same SHA-256', async () => {
  const [host, guest] = [await sideOn(0, 'host', { p2p: false }), await sideOn(1, 'guest')]
  const file = randomBytes(2 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file)])
  const session = join(guest, share)
  const [received] = await receiveAll(session)
  expect(sha256(received ?? new Uint8Array())).toBe(sha256(file))
  expect(stateOf(session)).toMatchObject({ name: 'open', path: 'server' })
})
