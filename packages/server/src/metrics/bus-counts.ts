import type { Backend } from '@peerage/core'

export interface BusCounts {
  published: number
  received: number
  malformed: number
}

/** A backend that counts the envelopes of its bus. Counting is only an addition each, because this is the hot path. */
export interface CountedBackend extends Backend {
  readonly counts: BusCounts
}

export function countBus(backend: Backend): CountedBackend {
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
      // Redis and links count envelopes that they could not decode. The memory backend decodes nothing.
      const malformed = 'malformed' in backend ? Number(backend.malformed) : 0
      return { published, received, malformed }
    },
  }
}
