import type { Clock, OnError } from '@peerage/core'
import { ClusterSubscriptions } from './cluster-subscriptions.js'
import type { Commands } from './commands.js'
import type { ConnectOptions } from './connect.js'
import { clientForPublishing, clientForSubscribing } from './connect.js'
import type { Publishing } from './publishing.js'
import { ClusterPublishing, ServerPublishing } from './publishing.js'
import type { Subscriptions } from './subscriptions.js'
import { ServerSubscriptions } from './subscriptions.js'
import type { SlotMap } from './topology.js'
import { Topology } from './topology.js'

export interface PubSubOptions {
  connectOptions: ConnectOptions
  commands: Commands
  clock: Clock
  commandMs: number
  /** A canary's channel for a word. */
  canary: (word: string) => string
  /** On a Cluster: which master serves which slot now. */
  onSlots: (slots: SlotMap) => void
  onRestored: (why: string) => void
  onChange: () => void
  onError: OnError
}

/** The connections of bus, presence and rooms, on any topology. */
export interface PubSub {
  publishing: Publishing
  subscriptions: Subscriptions
  start(): void
  stop(): void
}

export function makePubSub(options: PubSubOptions): PubSub {
  return options.connectOptions.address.topology === 'cluster'
    ? clusterPubSub(options)
    : serverPubSub(options)
}

function serverPubSub(options: PubSubOptions): PubSub {
  const { connectOptions, clock, commandMs, canary, onRestored, onChange, onError } = options
  const publishing = new ServerPublishing(clientForPublishing(connectOptions), clock, onChange)
  const subscriptions = new ServerSubscriptions({
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
    subscriptions,
    start: () => {
      publishing.start()
      subscriptions.start()
    },
    stop: () => {
      subscriptions.stop()
      publishing.stop()
    },
  }
}

function clusterPubSub(options: PubSubOptions): PubSub {
  const { connectOptions, commands, clock, commandMs, canary, onSlots, onRestored, onChange, onError } =
    options
  const onMoved = (): void => topology.suspectMove()
  const publishing = new ClusterPublishing({
    newClient: (master) => clientForPublishing(connectOptions, master),
    clock,
    onChange,
    onMoved,
  })
  const subscriptions = new ClusterSubscriptions({
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
      subscriptions.arrange(slots, changed)
    },
    settled: () => subscriptions.restored && publishing.connected,
    onError,
  })
  return {
    publishing,
    subscriptions,
    start: () => {
      subscriptions.start()
      topology.start()
    },
    stop: () => {
      topology.stop()
      subscriptions.stop()
      publishing.stop()
    },
  }
}
