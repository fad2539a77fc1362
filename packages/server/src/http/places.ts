import type { AnyServer } from './listen.js'

/** Where a gateway takes upgrades, and the setting that moves it elsewhere. */
export interface Place {
  path: string
  setting: 'path' | 'peerjs.path'
}

interface Holder {
  /** One that has been stopped, or drains, stands in nobody's way. */
  readonly hasEnded: () => boolean
}

const held = new WeakMap<AnyServer, Map<string, Holder>>()

/**
 * Nodes of one process may share a server at different paths. At one path, one of two nodes would hear nothing.
 * Returns the way to give the places back.
 * @throws Error where this node, or another one, is there already
 */
export function takePlaces(server: AnyServer, places: readonly Place[], holder: Holder): () => void {
  const here = held.get(server) ?? new Map<string, Holder>()
  for (const { path, setting } of places) {
    const other = here.get(path)
    if (other === holder) throw new Error('this node is attached to this server already: attach it once')
    if (other !== undefined && !other.hasEnded())
      throw new Error(
        `another node of this process takes ${path} of this server already: attach one node to a server, or give this one another ${setting}`,
      )
  }
  for (const { path } of places) here.set(path, holder)
  held.set(server, here)
  return () => {
    for (const { path } of places) if (here.get(path) === holder) here.delete(path)
  }
}
