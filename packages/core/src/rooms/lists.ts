import type { Name, RoomId } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { Nodes } from '../names/nodes.js'
import type { RoomRegistry } from './registry.js'
import type { Listed } from './roster.js'

export interface ListsOptions {
  registry: RoomRegistry
  nodes: Pick<Nodes, 'status'>
  /** Called with each page that was read for members of this node. */
  listed: (id: RoomId, members: readonly Listed[]) => void
}

export interface Page {
  members: Listed[]
  more: boolean
}

/** A page that is being read, and the next read of it, for which others wait. */
interface Reading {
  readonly current: Promise<Page>
  next?: Promise<Page>
}

/** Reads the lists of members from the registry. */
export class Lists {
  readonly #options: ListsOptions
  readonly #readings = new Map<string, Reading>()

  constructor(options: ListsOptions) {
    this.#options = options
  }

  /**
   * A page of members, read after this call. A thousand peers that join at once share a few reads: during one read,
   * all callers wait for the next one.
   */
  page(id: RoomId, after: Name | undefined): Promise<Page> {
    const key = `${id}\n${after ?? ''}`
    const reading = this.#readings.get(key)
    if (reading?.next) return reading.next
    const read = async (): Promise<Page> => {
      const page = await this.read(id, after, limits.membersPerPage)
      this.#options.listed(id, page.members)
      return page
    }
    if (reading === undefined) return this.#read(key, read)
    reading.next = reading.current.then(
      () => this.#read(key, read),
      () => this.#read(key, read),
    )
    return reading.next
  }

  #read(key: string, read: () => Promise<Page>): Promise<Page> {
    const current = read()
    const reading: Reading = { current }
    this.#readings.set(key, reading)
    return current.finally(() => {
      if (this.#readings.get(key) === reading && !reading.next) this.#readings.delete(key)
    })
  }

  /** The whole list. */
  async all(id: RoomId): Promise<Listed[]> {
    const all: Listed[] = []
    for (let after: Name | undefined; all.length <= limits.membersPerRoom;) {
      const { members, more } = await this.read(id, after, limits.membersPerPage)
      all.push(...members)
      after = members.at(-1)?.name
      if (!more || after === undefined) break
    }
    return all
  }

  /**
   * A page for a reader that is no member. A member whose node is dead is away, as its name is, until its membership
   * ends.
   */
  async read(id: RoomId, after: Name | undefined, most: number): Promise<Page> {
    const { registry, nodes } = this.#options
    const { members, more } = await registry.list(id, after, most)
    const listed = members.map(({ name, since, node, state }) => {
      return { name, since, state: nodes.status(node).state === 'dead' ? ('away' as const) : state }
    })
    return { members: listed, more }
  }
}
