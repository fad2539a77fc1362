import type { Clock, Timer } from './clock.js'

// What may wait for company. Each write is a system call, and wakes whoever reads it: that costs more than all the rest of a
// small message. So some things wait for others that go the same way. The gains were measured as CPU of the nodes and Redis.
//
//   until   who waits, and where                              gain
//   event   commands to Redis, and publishes to several       a fifth for claims and renewals; an eighth for publishes to
//           nodes: one write to each server                   seven nodes
//           (redis/connections/connect.ts)
//   event   look-ups: one command, on a single server         half for the 64 names of a watch; one alone costs 20 µs more
//           (redis/registry.ts)
//   turn    envelopes to one node: one publish, or one write  a third at 6,000 messages a second to one node, half at
//           to a link                                         20,000; nothing at 1,000 (of publishes; links were not
//           (redis/bus.ts, node-links/linked-bus.ts)          measured apart)
//   turn    frames to one peer, in a rush alone: one write    a fifth with two busy nodes; always to wait would cost a tenth
//           (server/gateway/shared/frame-writer.ts)           at 2,000 messages a second
//   5 ms    acknowledgements between nodes, where something   a quarter at 2,000 acknowledged messages a second
//           was sent a moment ago (the same two files)
//
// No message waits for longer than a turn: only acknowledgements do, for nobody's message waits for them. Who is told of
// changes in a room waits 50 ms (core/rooms/local-room.ts). The SDK has its own clock: an acknowledgement waits 20 ms there
// after the one before it (client/delivery/inbox.ts), and candidates for those of the same turn (client/p2p/handshake).

/** Runs a task before the process gets to its next event: what one event sets off goes together, and no later. */
export const afterEvent = (task: () => void): void => process.nextTick(task)

/** Runs a task when all that has arrived by now has been read. */
export const afterTurn = (task: () => void): void => void setImmediate(task)

/** What may wait for a moment, waits so long at most. */
const MOMENT_MS = 5

export interface BatchesOptions<To, Item> {
  clock: Clock
  /** Takes what goes to one receiver together, in the order in which it was added. */
  send: (to: To, items: Item[]) => void
}

interface Batch<Item> {
  items: Item[]
  /** All of it may wait for a moment. */
  isPatient: boolean
}

/**
 * What goes to each of some receivers, in order: all of one turn is sent together. What is patient waits for a moment (5 ms)
 * to go along with the next that is not, if something was sent to anybody a moment ago: then there is traffic to go along
 * with. Patient things to all receivers go out at once when the moment of the first is over.
 */
export class Batches<To, Item> {
  readonly #options: BatchesOptions<To, Item>
  readonly #batches = new Map<To, Batch<Item>>()
  #isDue = false
  #moment: Timer | undefined
  /** When something was last sent. */
  #sentAt = Number.NEGATIVE_INFINITY

  constructor(options: BatchesOptions<To, Item>) {
    this.#options = options
  }

  add(to: To, item: Item, isPatient = false): void {
    const { clock } = this.#options
    const waits = isPatient && clock.monotonic() - this.#sentAt < MOMENT_MS
    const batch = this.#batches.get(to)
    if (batch === undefined) this.#batches.set(to, { items: [item], isPatient: waits })
    else {
      batch.items.push(item)
      batch.isPatient &&= waits
    }
    if (waits) this.#moment ??= clock.after(MOMENT_MS, () => this.#endMoment())
    else if (!this.#isDue) {
      this.#isDue = true
      afterTurn(() => {
        this.#isDue = false
        this.flush()
      })
    }
  }

  /** Sends what does not wait for a moment, before the turn is over. */
  flush(): void {
    for (const [to, { items, isPatient }] of this.#batches) if (!isPatient) this.#send(to, items)
  }

  /** Sends all that waits for one receiver. */
  flushTo(to: To): void {
    const batch = this.#batches.get(to)
    if (batch !== undefined) this.#send(to, batch.items)
  }

  /** Sends nothing more of what waits, and gives it back, each receiver's in order. */
  stop(): Item[] {
    this.#moment?.cancel()
    this.#moment = undefined
    const items = [...this.#batches.values()].flatMap((batch) => batch.items)
    this.#batches.clear()
    return items
  }

  #endMoment(): void {
    this.#moment = undefined
    for (const [to, { items }] of this.#batches) this.#send(to, items)
  }

  #send(to: To, items: Item[]): void {
    this.#batches.delete(to)
    this.#sentAt = this.#options.clock.monotonic()
    this.#options.send(to, items)
  }
}

/** How long a count lasts: a process that shares its core gets its work in bursts, however little it is. */
const WINDOW_MS = 100

/**
 * Whether there is a rush: more than `most` things came within this tenth of a second, or within the one before it. Then it
 * pays to wait for the end of the turn: all that has come is read before anybody is woken. Else the wait itself costs more
 * than it saves.
 */
export class Rush {
  readonly #most: number
  readonly #clock: Clock
  #from = Number.NEGATIVE_INFINITY
  #count = 0
  #before = 0

  constructor(most: number, clock: Clock) {
    this.#most = most
    this.#clock = clock
  }

  /** Counts one more thing, and says whether it may wait for others. */
  add(): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#from >= WINDOW_MS) {
      this.#before = now - this.#from < 2 * WINDOW_MS ? this.#count : 0
      this.#from = now
      this.#count = 0
    }
    this.#count++
    return this.#before > this.#most || this.#count > this.#most
  }
}
