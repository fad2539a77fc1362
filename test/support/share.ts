import { createHash } from 'node:crypto'
import { connect, type ConnectOptions, type Peer } from '@peerage/client'
import {
  createSharing,
  type JoinOptions,
  type OfferedFile,
  type ShareHost,
  type ShareLink,
  type ShareSession,
  type Sharing,
  type SharingOptions,
  type Source,
  type Store,
  type Target,
  type TransferFile,
} from '@peerage/client/transfer'
import { expect, onTestFinished } from 'vitest'

// Peers that share files, for tests with real nodes.

const MIB = 1024 * 1024
/** On a busy machine a handshake or a file of some megabytes takes a while. */
export const WAIT = { timeout: 60_000 }

const hashOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())

export const sha256 = (bytes: Uint8Array): string => Buffer.from(hashOf(bytes)).toString('hex')

/** A file in memory. `slowMs`: how long each block takes to read. */
export function fileOf(path: string, bytes: Uint8Array, slowMs = 0): Source {
  return {
    info: { path, size: bytes.length, type: 'application/octet-stream', modifiedAt: 1_796_000_000_000 },
    async readBlock(index) {
      if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs))
      const block = new Uint8Array(bytes.subarray(index * MIB, (index + 1) * MIB))
      return { bytes: block, hash: hashOf(block) }
    },
  }
}

/** Keeps blocks by share and file, so it lasts as long as this object: over a restart of the peer that uses it. */
export class KeepingStore implements Store {
  readonly isDurable = true
  readonly bytesMax = Infinity
  readonly #files = new Map<string, Map<number, Uint8Array<ArrayBuffer>>>()
  /** How many blocks were put in all. */
  puts = 0

  async open({ path, size }: OfferedFile, share: string): Promise<Target> {
    const key = `${share} ${path} ${size}`
    const blocks = this.#files.get(key) ?? new Map<number, Uint8Array<ArrayBuffer>>()
    this.#files.set(key, blocks)
    return {
      kept: new Map(Array.from(blocks, ([index, bytes]) => [index, hashOf(bytes)])),
      inOrder: false,
      put: async (index, { bytes, hash }) => {
        if (sha256(bytes) !== Buffer.from(hash).toString('hex')) return false
        blocks.set(index, bytes.slice())
        this.puts++
        return true
      },
      finish: async () => {
        const sorted = [...blocks].sort(([a], [b]) => a - b)
        return { kind: 'blob', blob: new Blob(sorted.map(([, bytes]) => bytes)) }
      },
      discard: async () => void this.#files.delete(key),
      close: async () => undefined,
    }
  }
}

export interface Side {
  sharing: Sharing
  peer: Peer
  store: KeepingStore
}

export interface SideOptions extends Omit<ConnectOptions, 'p2p'> {
  sharing?: Partial<SharingOptions>
  store?: KeepingStore
  /** False: this side opens no channels. */
  p2p?: NonNullable<ConnectOptions['p2p']>
}

let names = 0
export const nameOf = (what: string): string => `${what}-${++names}`

/** Connects a peer that shares. It ends with the test. */
export async function startSide(
  url: string,
  what: string,
  { p2p = {}, sharing: own, store = new KeepingStore(), ...options }: SideOptions = {},
): Promise<Side> {
  const connectAs = (name: string): Promise<Peer> => connect(url, { name, storage: null, p2p: false })
  const sharing = createSharing({ store, connectAs, device: what, ...own })
  const peer = await connect(url, {
    name: nameOf(what),
    storage: null,
    ...options,
    p2p: p2p === false ? false : { ...p2p, verify: sharing.verify },
  })
  sharing.start(peer)
  onTestFinished(async () => {
    await sharing.close()
    await peer.leave()
  })
  return { sharing, peer, store }
}

/** The parts of the host's link. */
export function linkOf(host: ShareHost): ShareLink {
  const { searchParams, hash } = new URL(host.link('https://peers.example/'))
  return { name: searchParams.get('peer_id') ?? '', fragment: hash.slice(1) }
}

export const join = (guest: Side, host: ShareHost, options?: JoinOptions): Promise<ShareSession> =>
  guest.sharing.join(linkOf(host), options)

export const filesOf = (session: ShareSession): TransferFile[] =>
  session.transfer.state.items.filter((item) => item.kind === 'file')

/** Accepts all files once so many are offered. */
export async function acceptAll(session: ShareSession, count = 1): Promise<void> {
  await expect.poll(() => filesOf(session).length, WAIT).toBe(count)
  session.transfer.accept(filesOf(session).map(({ key }) => key))
}

/** The SHA-256 of each file, when all are complete. */
export async function received(session: ShareSession): Promise<string[]> {
  await expect
    .poll(() => filesOf(session).find(({ state }) => state.name !== 'complete')?.state, WAIT)
    .toBeUndefined()
  return Promise.all(
    filesOf(session).map(async ({ state }) => {
      if (state.name !== 'complete' || state.received?.kind !== 'blob') throw new Error('it is not here')
      return sha256(new Uint8Array(await state.received.blob.arrayBuffer()))
    }),
  )
}

/** Resolves when the session has this state. It is told of each state, so one of a few milliseconds counts as well. */
export async function untilState(session: ShareSession, state: object): Promise<void> {
  const seen: object[] = [session.state]
  const stop = session.onChange(() => seen.push(session.state))
  try {
    await expect.poll(() => seen, WAIT).toContainEqual(expect.objectContaining(state))
  } finally {
    stop()
  }
}

/** Resolves when so many bytes of the first file are there. */
export async function untilBytes(session: ShareSession, bytes: number): Promise<void> {
  await expect.poll(() => filesOf(session)[0]?.bytesDone ?? 0, WAIT).toBeGreaterThanOrEqual(bytes)
}
