import { aNull, aText, check, either, objectWith } from './lib/check.js'
import { nameOrThrow } from './lib/names.js'
import type { PeerState } from './tier/connector.js'
import type { Peer } from './peer.js'
import type { Presence } from './tier/watches.js'

/** The part of React that `createHooks` needs. `preact/compat` has it, too. */
export interface ReactLike {
  /** React's hook of this name (React 18 and later). */
  useSyncExternalStore: <T>(
    subscribe: (changed: () => void) => () => void,
    snapshot: () => T,
    serverSnapshot: () => T,
  ) => T
}

/** The hooks that `createHooks` returns. */
export interface Hooks {
  /**
   * Returns `peer.state`, and renders the component again at each change.
   * @throws TypeError if `peer` is not a Peer
   */
  usePeerState: (peer: Peer) => PeerState
  /**
   * Returns the presence of `name` (online, away or offline), and renders the component again at each change. The name is
   * watched while a component that uses the hook is mounted. Undefined until the node has answered. A component that has
   * nobody to watch yet passes null, because React allows no hook in a condition.
   * @throws TypeError if `peer` is not a Peer, or `name` is neither a string nor null
   * @throws PeerageError `bad-name` for an invalid name
   */
  usePresence: (peer: Peer, name: string | null) => Presence | undefined
}

const aPeer = objectWith('a Peer', 'on', 'watch')

interface Store<T> {
  subscribe: (changed: () => void) => () => void
  snapshot: () => T
}

/**
 * Makes React hooks. You pass your copy of React, so the SDK depends on none. Call it once, outside of components.
 * @throws TypeError if `react` has no `useSyncExternalStore`
 * @example
 * import * as React from 'react'
 * import { createHooks } from '@peerage/client/react'
 *
 * const { usePeerState, usePresence } = createHooks(React)
 *
 * function Bob({ peer }) {
 *   const { state } = usePeerState(peer)
 *   const bob = usePresence(peer, 'bob')
 *   return <p>{state === 'online' ? `bob is ${bob?.state ?? '…'}` : state}</p>
 * }
 */
export function createHooks(react: ReactLike): Hooks {
  check('react', react, objectWith('React 18 or later, or preact/compat', 'useSyncExternalStore'))
  const { useSyncExternalStore } = react
  // React subscribes again whenever `subscribe` is another function, so we keep one store for each peer and name.
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
      check('name', name, either(aText, aNull))
      return use(name === null ? NOBODY : presenceOf(peer, nameOrThrow(name)))
    },
  }
}

const NOBODY: Store<undefined> = { subscribe: () => () => {}, snapshot: () => undefined }

function presenceStore(peer: Peer, name: string): Store<Presence | undefined> {
  let last: Presence | undefined
  return {
    snapshot: () => last,
    subscribe(changed) {
      const receive = (presence: Presence | undefined): void => {
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
            receive(presence)
          },
          // The node refused or did not answer, so nothing is watched. We ask again on the next connection.
          () => (release = () => {}),
        )
      }
      const off = peer.on('presence', receive)
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
