import type { NodeId, Peer } from '@peerage/protocol'
import type { Backend, BackendEvent, OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import { systemClock } from '../lib/clock.js'
import type { MailboxLimits } from '../routing/mailbox.js'
import { defaultMailboxLimits } from '../routing/mailbox.js'
import type { Times } from '../times.js'
import { defaultTimes } from '../times.js'
import { MemoryBus } from './bus.js'
import { MemoryMailbox } from './mailbox.js'
import { MemoryNameIndex } from './name-index.js'
import { MemoryNodes } from './nodes.js'
import { MemoryPools } from './pools.js'
import { MemoryPresence } from './presence.js'
import { MemoryAnswers, MemoryRecords } from './records.js'
import { MemoryRegistry } from './registry.js'
import { MemoryRooms } from './rooms.js'
import { MemorySeats } from './seats.js'
import { Store } from './store.js'

export interface MemoryClusterOptions {
  times?: Times
  clock?: Clock
  mailboxLimits?: Partial<MailboxLimits>
}

/** A store in this process, for any number of nodes. */
export interface MemoryCluster {
  /** Makes the backend of one more node. */
  backend(options?: { onError?: OnError }): Backend
  /** What the store holds now. All of it must be 0 after everybody has left [I16]. */
  size(): { names: number; queues: number; pools: number; nodes: number; inboxes: number; watchers: number }
  /** Like FLUSHALL in Redis: empties the store, and each node gets a `doubt` event. */
  flush(): void
  /** Loses one name without telling any node, as a shard of a Redis Cluster may do. */
  forget(peer: Peer): void
  /** Loses the index of all apps without telling any node. */
  forgetIndex(): void
  /**
   * `true`: registry, nodes and mailbox reject, and the bus is unavailable. `false`: they work again, and each node
   * gets a `doubt` event.
   */
  setDown(down: boolean): void
  /** Puts any payload on a node's inbox, as a stranger with access to the store could do. */
  post(to: NodeId, payload: string): void
}

/** The default store, inside this process. It fulfils the same contracts as @peerage/redis. */
export function memoryCluster(options: MemoryClusterOptions = {}): MemoryCluster {
  const { times = defaultTimes, clock = systemClock } = options
  const store = new Store(times, clock, { ...defaultMailboxLimits, ...options.mailboxLimits })
  const listeners = new Set<(event: BackendEvent) => void>()
  const tell = (event: BackendEvent): void => {
    for (const listener of listeners) queueMicrotask(() => listener(event))
  }
  return {
    backend: ({ onError = rethrow } = {}) => memoryBackend(store, listeners, onError),
    size: () => {
      for (const peer of store.names.keys()) store.entry(peer)
      const { names, queues, pools, nodes, inboxes, watchers } = store
      return {
        names: names.size,
        queues: queues.size,
        pools: pools.size,
        nodes: nodes.size,
        inboxes: inboxes.size,
        watchers: watchers.size,
      }
    },
    flush: () => {
      store.flush()
      tell({ type: 'doubt', why: 'the store was flushed', names: true })
    },
    forget: (peer) => void store.names.delete(peer),
    forgetIndex: () => store.index.clear(),
    setDown: (down) => {
      if (down === store.down) return
      store.setDown(down)
      tell({ type: 'health', healthy: !down, why: down ? 'the store is down' : 'the store is back' })
      if (!down) tell({ type: 'doubt', why: 'the store is back', names: true })
    },
    post: (to, payload) => store.post(to, payload),
  }
}

function memoryBackend(
  store: Store,
  listeners: Set<(event: BackendEvent) => void>,
  onError: OnError,
): Backend {
  const nodes = new MemoryNodes(store)
  const bus = new MemoryBus(store, onError)
  const presence = new MemoryPresence(store, onError)
  const rooms = new MemoryRooms(store)
  let listener: ((event: BackendEvent) => void) | undefined
  return {
    registry: new MemoryRegistry(store, nodes),
    nodes,
    bus,
    presence,
    mailbox: new MemoryMailbox(store),
    index: new MemoryNameIndex(store),
    records: new MemoryRecords(store),
    answers: new MemoryAnswers(store),
    rooms,
    pools: new MemoryPools(store),
    seats: new MemorySeats(store),
    identify: (node: NodeId) => nodes.identify(node),
    start: async (onEvent) => {
      listener = onEvent
      listeners.add(onEvent)
      onEvent({
        type: 'health',
        healthy: !store.down,
        why: store.down ? 'the store is down' : 'names are in memory',
      })
    },
    stop: async () => {
      if (listener) listeners.delete(listener)
      presence.close()
      rooms.close()
      await bus.close()
    },
  }
}

function rethrow(error: unknown): void {
  throw error
}
