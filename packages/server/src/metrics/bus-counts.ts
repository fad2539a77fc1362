import type { Backend } from '@peerage/core'

export interface BusCounts {
  published: number
  received: number
  malformed: number
}

/** A backend whose bus is counted: two additions a message, for it is the hot path. */
export interface CountedBackend extends Backend {
  readonly counts: BusCounts
}

/** `inner`: below it, where there is another one: the store's own bus, which counts what it could not decode. */
export function countBus(backend: Backend, inner: Backend = backend): CountedBackend {
  const { bus } = backend
  let published = 0
  let received = 0
  return {
    ...backend,
    bus: {
      subscribe: (node, receive) =>
        bus.subscribe(node, (envelope, origin) => {
          received++
          receive(envelope, origin)
        }),
      publish: (to, envelope, origin) => {
        published++
        return bus.publish(to, envelope, origin)
      },
      close: () => bus.close(),
    },
    identify: (node) => backend.identify(node),
    start: (onEvent) => backend.start(onEvent),
    stop: () => backend.stop(),
    get counts() {
      // Redis's alone: memory has nothing to decode.
      const malformed = 'malformed' in inner ? Number(inner.malformed) : 0
      return { published, received, malformed }
    },
  }
}
