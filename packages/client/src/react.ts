import { aText, check, objectWith } from './lib/check.js'
import type { PeerState } from './tier/link.js'
import type { Peer } from './peer.js'
import type { Presence } from './tier/watches.js'

/** The one part of React that is needed; Preact's `preact/compat` has it, too. */
export interface ReactLike {
  useSyncExternalStore: <T>(
    subscribe: (changed: () => void) => () => void,
    snapshot: () => T,
    serverSnapshot: () => T,
  ) => T
}

export interface Hooks {
  /** The peer's state, current at each render. */
  usePeerState: (peer: Peer) => PeerState
  /** Where `name` stands, watched while a component shows it; undefined until the tier has answered. */
  usePresence: (peer: Peer, name: string) => Presence | undefined
}

const aPeer = objectWith('a Peer', 'on', 'watch')

interface Store<T> {
  subscribe: (changed: () => void) => () => void
  snapshot: () => T
}

/** Hooks for one copy of React: `const { usePeerState } = createHooks(React)`. */
export function createHooks(react: ReactLike): Hooks {
  check('react', react, objectWith('React 18 or later, or preact/compat', 'useSyncExternalStore'))
  const { useSyncExternalStore } = react
  // React subscribes anew whenever `subscribe` is another function: one store for each peer and name.
  const stores = new WeakMap<Peer, Map<string, Store<Presence | undefined>>>()
  const states = new WeakMap<Peer, Store<PeerState>>()

  const presenceOf = (peer: Peer, name: string): Store<Presence | undefined> => {
    const ofPeer = stores.get(peer) ?? new Map<string, Store<Presence | undefined>>()
    const store = ofPeer.get(name) ?? presenceStore(peer, name)
    ofPeer.set(name, store)
    stores.set(peer, ofPeer)
    return store
  }
  const stateOf = (peer: Peer): Store<PeerState> => {
    const store = states.get(peer) ?? {
      subscribe: (changed: () => void) => peer.on('state', changed),
      snapshot: () => peer.state,
    }
    states.set(peer, store)
    return store
  }
  const use = <T>({ subscribe, snapshot }: Store<T>): T => useSyncExternalStore(subscribe, snapshot, snapshot)
  return {
    usePeerState(peer) {
      check('peer', peer, aPeer)
      return use(stateOf(peer))
    },
    usePresence(peer, name) {
      check('peer', peer, aPeer)
      check('name', name, aText)
      return use(presenceOf(peer, name))
    },
  }
}

function presenceStore(peer: Peer, name: string): Store<Presence | undefined> {
  let last: Presence | undefined
  return {
    snapshot: () => last,
    subscribe(changed) {
      const hear = (presence: Presence | undefined): void => {
        if (presence?.name !== name) return
        last = presence
        changed()
      }
      let release = (): void => {}
      const begin = (): void => {
        const end = new AbortController()
        release = () => end.abort()
        peer.watch(name, { signal: end.signal }).then(
          (presence) => {
            release = () => peer.unwatch(name)
            hear(presence)
          },
          // Refused, or no answer: nothing is watched, and the next connection is asked again.
          () => (release = () => {}),
        )
      }
      const off = peer.on('presence', hear)
      const offState = peer.on('state', ({ state }) => {
        if (state === 'online' && last === undefined) {
          release()
          begin()
        }
      })
      begin()
      return () => {
        off()
        offState()
        release()
        last = undefined
      }
    },
  }
}
