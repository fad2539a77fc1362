import type { Backend } from '../backend.js'
import { RegistryUnavailable } from '../names/registry.js'

export interface Cut {
  backend: Backend
  /** True: this node cannot reach the store, and the store cannot reach this node. */
  cut: boolean
}

/** A backend whose node can be cut off from the store while the other nodes go on. */
export function cuttable(inner: Backend): Cut {
  const refuse = (): void => {
    if (state.cut) throw new RegistryUnavailable('cut off')
  }
  // The announcement could not be written. The next beat writes it.
  let unannounced: string | undefined
  const state: Cut = {
    cut: false,
    backend: {
      ...inner,
      identify: (node) => {
        unannounced = undefined
        inner.identify(node)
      },
      start: (onEvent) => inner.start(onEvent),
      stop: () => inner.stop(),
      registry: guard(inner.registry, refuse),
      mailbox: guard(inner.mailbox, refuse),
      rooms: guard(inner.rooms, refuse, {
        subscribe: async (room, receive) => {
          refuse()
          await inner.rooms.subscribe(room, (text) => {
            if (!state.cut) receive(text)
          })
        },
        publish: async (room, text) => (state.cut ? 'unavailable' : inner.rooms.publish(room, text)),
      }),
      seats: guard(inner.seats, refuse),
      pools: guard(inner.pools, refuse),
      index: guard(inner.index, refuse),
      records: guard(inner.records, refuse),
      answers: guard(inner.answers, refuse),
      nodes: {
        beat: async (settled) => {
          refuse()
          const answer = await inner.nodes.beat(settled)
          if (answer === 'alive' && unannounced !== undefined) {
            await inner.nodes.announce(unannounced)
            unannounced = undefined
          }
          return answer
        },
        refresh: async () => {
          refuse()
          await inner.nodes.refresh()
        },
        view: () => inner.nodes.view(),
        presented: () => inner.nodes.presented(),
        status: (node) => inner.nodes.status(node),
        list: () => inner.nodes.list(),
        announce: async (text) => {
          if (state.cut) unannounced = text
          refuse()
          unannounced = undefined
          await inner.nodes.announce(text)
        },
        announced: async (node) => {
          refuse()
          return inner.nodes.announced(node)
        },
        leave: async () => {
          refuse()
          await inner.nodes.leave()
        },
      },
      bus: {
        subscribe: (node, receive) =>
          inner.bus.subscribe(node, (envelope, origin) => {
            if (!state.cut) receive(envelope, origin)
          }),
        publish: async (to, envelope, origin) =>
          state.cut ? 'unavailable' : inner.bus.publish(to, envelope, origin),
        close: () => inner.bus.close(),
      },
    },
  }
  return state
}

// All methods of these are asynchronous, so a refusal is a rejection. Only `unsubscribe` is not, and it never fails.
function guard<T extends object>(inner: T, refuse: () => void, others: Partial<T> = {}): T {
  return new Proxy(inner, {
    get(target, key) {
      if (Object.hasOwn(others, key)) return Reflect.get(others, key)
      const method: unknown = Reflect.get(target, key)
      if (typeof method !== 'function') return method
      if (key === 'unsubscribe') return (...args: unknown[]): unknown => Reflect.apply(method, target, args)
      return async (...args: unknown[]): Promise<unknown> => {
        refuse()
        return Reflect.apply(method, target, args)
      }
    },
    // A test replaces a method.
    set: (target, key, value) => Reflect.set(Object.hasOwn(others, key) ? others : target, key, value),
  })
}
