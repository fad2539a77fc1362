import { Semaphore, type ListCursor, type ListPage } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { ApiDependencies } from './dependencies.js'
import { SEND_DEFAULT_MS } from './schemas.js'

/** How many sends of a broadcast begin at once. */
const BROADCAST_AT_ONCE = 50
const PAGE = 500
/** A send that is not acknowledged within this time no longer counts among them. */
const SOON_MS = 250
/** How many such sends may wait. The SDK holds 1,024 messages, and the app's other sends need room. */
const SLOW_MOST = 500
/** How many characters the messages of each of the two kinds may have together. The SDK holds 8 Mi. */
const CHARS_MOST = 3_145_728

/**
 * Sends to every peer of an app that is online, page by page. A recipient that acknowledges nothing holds up no other
 * one, unless there are very many of them. Never rejects. `chars`: the length of the message.
 */
export async function broadcast(
  { node, peers, clock, onError }: ApiDependencies,
  app: App,
  { data, chars }: { data: unknown; chars: number },
): Promise<void> {
  const fitting = Math.max(1, Math.floor(CHARS_MOST / chars))
  const turns = new Semaphore(Math.min(BROADCAST_AT_ONCE, fitting), PAGE)
  const slow = new Semaphore(Math.min(SLOW_MOST, fitting), BROADCAST_AT_ONCE)
  const underWay = new Set<Promise<unknown>>()

  async function begin(send: () => Promise<unknown>): Promise<void> {
    const sending = send().finally(() => underWay.delete(sending))
    underWay.add(sending)
    let late = (): void => {}
    const soon = new Promise<void>((resolve) => (late = resolve))
    const timer = clock.after(SOON_MS, late)
    await Promise.race([sending, soon])
    timer.cancel()
    if (underWay.has(sending)) await Promise.race([sending, entered(slow, sending)])
  }

  try {
    let at: ListCursor | undefined
    do {
      const page: ListPage = await node.listing.page(app, at, PAGE)
      const online = page.peers.filter(({ state }) => state === 'online')
      await Promise.all(
        online.map(({ name }) =>
          turns.run(() => begin(() => peers.send(app, name, data, { deadlineMs: SEND_DEFAULT_MS }))),
        ),
      )
      at = page.next
    } while (at !== undefined && !node.draining)
  } catch (error) {
    onError(error, { stage: 'api broadcast' })
  }
  await Promise.all(underWay)
}

/** Resolves when there is room for a send, which then keeps its place until it ends. */
function entered(slow: Semaphore, sending: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    void slow.run(() => {
      resolve()
      return sending
    })
  })
}
