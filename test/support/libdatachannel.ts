import { readdir, readFile } from 'node:fs/promises'
import type { TestOptions } from 'vitest'
import type { Child } from './process.js'

/** libjuice's thread that reads the sockets of all connections of a process. */
const SOCKET_THREAD = 'juice poll'
const POLLS = 10
const POLL_INTERVAL_MS = 100

const FROZE = 'libdatachannel froze'

/**
 * For tests in which node-datachannel opens channels through TURN. In version 0.33.4 the socket thread may start DTLS while
 * another thread of the library encrypts. Each then waits forever for a lock that the other holds (libdatachannel, pull
 * request 1630). From then on no connection of that process works, and a call into the library may not return. So such
 * peers run in their own processes, and a test is retried only if one of its peers froze.
 */
export const againWhenFrozen: TestOptions = { retry: { count: 2, condition: new RegExp(`^${FROZE}`, 'u') } }

/** The result of `act`. If it fails and one of these processes froze meanwhile, the error says so. */
export async function unlessFrozen<T>(peers: readonly Child[], act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    await refuseFrozen(peers, error)
    throw error
  }
}

/** @throws if one of these processes froze, because the results of its calls then mean nothing */
export async function refuseFrozen(peers: readonly Child[], result: unknown): Promise<void> {
  const frozen = await Promise.all(peers.map((peer) => isFrozen(peer.pid)))
  if (!frozen.includes(true)) return
  process.stderr.write(`${FROZE} in a peer of this test\n`)
  throw new Error(`${FROZE}, so this result means nothing: ${String(result)}`)
}

/** Whether the socket thread of this process waits for a lock, and keeps waiting. */
async function isFrozen(pid: number): Promise<boolean> {
  for (let poll = 0; poll < POLLS; poll++) {
    if (!(await waitsForLock(pid))) return false
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS))
  }
  return true
}

async function waitsForLock(pid: number): Promise<boolean> {
  const tasks = `/proc/${pid}/task`
  for (const task of await readdir(tasks).catch(() => [])) {
    // A thread may end between two reads.
    const read = (what: string): Promise<string> =>
      readFile(`${tasks}/${task}/${what}`, 'utf8').catch(() => '')
    if ((await read('comm')).trim() === SOCKET_THREAD) return (await read('wchan')).includes('futex')
  }
  return false
}
