import type { Clock, Timer } from './clock.js'

// The items that may wait so that more of them are sent together. Each write is a system call, and wakes its reader. For
// a small message that costs more than everything else. The gains were measured as CPU of the nodes and of Redis.
//
//   until   what waits, and where                             gain
//   event   commands to Redis, and publishes to several       a fifth for claims and renewals; an eighth for publishes to
//           nodes: one write to each server                   seven nodes
//           (redis/connections/connect.ts)
//   event   look-ups: one command, on a single server         half for the 64 names of a watch; one alone costs 20 µs more
//           (redis/registry.ts)
//   turn    envelopes to one node: one publish, or one write  a third at 6,000 messages a second to one node, half at
//           to a link                                         20,000; nothing at 1,000 (of publishes; links were not
//           (redis/bus.ts, node-links/linked-bus.ts)          measured separately)
//   turn    frames to one peer, only in a burst: one write    a fifth with two busy nodes; waiting always would cost a
//           (server/gateway/shared/frame-writer.ts)           tenth at 2,000 messages a second
//   5 ms    acknowledgements between nodes, if something      a quarter at 2,000 acknowledged messages a second
//           was sent a moment ago (the same two files)
//
// "Event": until the process gets to its next event. "Turn": until the end of this turn of the event loop. No message
// waits for longer than a turn. Only acknowledgements do, because no message waits for them. Changes in a room wait
// 50 ms (core/rooms/local-room.ts). The SDK batches by itself: an acknowledgement waits for 20 ms after the previous
// one (client/delivery/inbox.ts), and candidates wait for others of the same turn (client/p2p/handshake).

/** Runs a task before the process gets to its next event, so that everything that one event causes goes together. */
export const afterEvent = (task: () => void): void => process.nextTick(task)

/** Runs a task when everything that has arrived by now has been read. */
export const afterTurn = (task: () => void): void => void setImmediate(task)

/** The longest time that patient items wait. */
const MOMENT_MS = 5

export interface BatchesOptions<To, Item> {
  clock: Clock
  /** Receives the items for one receiver together, in the order in which they were added. */
  send: (to: To, items: Item[]) => void
}

interface Batch<Item> {
  items: Item[]
  /** True if all items may wait for a moment. */
  isPatient: boolean
}

/**
 * Batches items for several receivers, and keeps the order for each receiver. All items of one turn are sent
 * together. A patient item waits for up to a moment (5 ms), to be sent together with the next item that is not
 * patient. It waits only if something was sent to any receiver a moment ago, because only then is more likely to
 * follow. When the moment of the first patient item is over, the patient items for all receivers are sent together.
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

  /** Sends everything that is not patient, before the turn is over. */
  flush(): void {
    for (const [to, { items, isPatient }] of this.#batches) if (!isPatient) this.#send(to, items)
  }

  /** Sends everything that waits for one receiver. */
  flushTo(to: To): void {
    const batch = this.#batches.get(to)
    if (batch !== undefined) this.#send(to, batch.items)
  }

  /** Returns everything that waits, each receiver's items in order, and sends none of it. */
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

/**
 * The length of a counting window. It is not shorter, because a process that shares its core gets even a little work in
 * bursts.
 */
const WINDOW_MS = 100

/**
 * Detects a burst: more than `most` items came within this window of 100 ms, or within the previous one. In a burst
 * it pays to wait for the end of the turn, so that everything that has arrived is read before any reader is woken.
 * Otherwise waiting costs more than it saves.
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

  /** Counts one more item, and returns whether it may wait for others. */
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
