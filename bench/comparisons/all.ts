import type { Comparison } from '../lib/comparison.js'
import { channel } from './channel.js'
import { connects } from './connects.js'
import { crossNode } from './cross-node.js'
import { memory } from './memory.js'
import { namesIndex } from './names-index.js'
import { reconnect } from './reconnect.js'
import { registry } from './registry.js'
import { relay } from './relay.js'
import { room } from './room.js'
import { roundTrip } from './round-trip.js'
import { size } from './size.js'
import { stun } from './stun.js'
import { terminal } from './terminal.js'
import { transfer } from './transfer.js'
import { wires } from './wires.js'
import { wiresMemory } from './wires-memory.js'

/** Every comparison, in the order in which the table shows them. */
export const COMPARISONS: readonly Comparison[] = [
  ...crossNode,
  ...roundTrip,
  ...relay,
  ...room,
  ...memory,
  ...connects,
  ...reconnect,
  ...channel,
  ...transfer,
  ...terminal,
  ...size,
  ...stun,
  ...registry,
  ...namesIndex,
  ...wires,
  ...wiresMemory,
]
