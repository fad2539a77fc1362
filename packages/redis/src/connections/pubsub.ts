import type { Clock, OnError } from '@peerage/core'
import type { Commands } from './commands.js'
import type { ConnectOptions } from './connect.js'
import { clientForPublishing, clientForSubscribing } from './connect.js'
import type { Publishing } from './publishing.js'
import { Publisher, ShardPublishers } from './publishing.js'
import { Shards } from './cluster-subscriptions.js'
import type { SlotMap } from './slots.js'
import type { Listening } from './subscriptions.js'
import { Subscriptions } from './subscriptions.js'
import { Topology } from './topology.js'

export interface LinksParts {
  connectOptions: ConnectOptions
  commands: Commands
  clock: Clock
  commandMs: number
  /** A canary's channel, for any word. */
  canary: (word: string) => string
  /** On a Cluster: who serves which slot now. */
  onSlots: (slots: SlotMap) => void
  onRestored: (why: string) => void
  onChange: () => void
  onError: OnError
}

/** What the bus and presence speak and hear over, whatever the topology. */
export interface Links {
  publishing: Publishing
  listening: Listening
  start(): void
  stop(): void
}

export function makeLinks(parts: LinksParts): Links {
  return parts.connectOptions.address.topology === 'cluster' ? shardLinks(parts) : serverLinks(parts)
}

function serverLinks(parts: LinksParts): Links {
  const { connectOptions, clock, commandMs, canary, onRestored, onChange, onError } = parts
  const publishing = new Publisher(clientForPublishing(connectOptions), clock, onChange)
  const listening = new Subscriptions({
    newClient: () => clientForSubscribing(connectOptions),
    clock,
    commandMs,
    together: true,
    canaries: [canary('0')],
    onRestored: () => onRestored('subscribed again'),
    onChange,
    onError,
  })
  return {
    publishing,
    listening,
    start: () => {
      publishing.start()
      listening.start()
    },
    stop: () => {
      listening.stop()
      publishing.stop()
    },
  }
}

function shardLinks(parts: LinksParts): Links {
  const { connectOptions, commands, clock, commandMs, canary, onSlots, onRestored, onChange, onError } = parts
  const onMoved = (): void => topology.doubt()
  const publishing = new ShardPublishers({
    newClient: (master) => clientForPublishing(connectOptions, master),
    clock,
    onChange,
    onMoved,
  })
  const listening = new Shards({
    newClient: (master) => clientForSubscribing(connectOptions, master),
    clock,
    commandMs,
    canary,
    onRestored,
    onMoved,
    onChange,
    onError,
  })
  const topology = new Topology({
    askSlots: () => commands.run((client) => client.cluster('SLOTS')),
    clock,
    onSlots: (slots, changed) => {
      onSlots(slots)
      publishing.arrange(slots)
      listening.arrange(slots, changed)
    },
    settled: () => listening.restored && publishing.connected,
    onError,
  })
  return {
    publishing,
    listening,
    start: () => {
      listening.start()
      topology.start()
    },
    stop: () => {
      topology.stop()
      listening.stop()
      publishing.stop()
    },
  }
}
