import { PARTITIONS, type ListCursor } from '@peerage/core'
import { parseName, peerOf, type App, type Name } from '@peerage/protocol'
import { cursorOf, placeOf } from '../cursors.js'
import type { ApiDependencies } from '../dependencies.js'
import { operations } from '../operations.js'
import { BAD_CURSOR, done, notFound } from '../replies.js'
import { route } from '../route.js'

/** Peers, the members of rooms, and the nodes. */
export function peerRoutes({ node, nodes }: ApiDependencies) {
  return {
    listPeers: route(operations.listPeers, async ({ app, query: { limit, cursor, state } }) => {
      const from = cursor === undefined ? undefined : listCursorOf(app, cursor)
      if (cursor !== undefined && from === undefined) return BAD_CURSOR
      const { peers, next } = await node.listing.page(app, from, limit)
      return done({
        peers: state === undefined ? peers : peers.filter((peer) => peer.state === state),
        ...(next === undefined ? {} : { next: listCursor(app, next) }),
      })
    }),

    countPeers: route(operations.countPeers, async ({ app }) =>
      done({ count: await node.listing.count(app) }),
    ),

    getPeer: route(operations.getPeer, async ({ app, params: { name } }) => {
      const peer = peerOf(app, name)
      const [seen] = await node.lookup([peer])
      if (seen === undefined || seen.state === 'offline' || seen.since === undefined)
        return notFound('nobody holds this name')
      const at = await node.router.lookup(peer)
      const found = { name, state: seen.state, since: seen.since }
      return done(at?.since === seen.since ? { ...found, node: at.node } : found)
    }),

    listMembers: route(
      operations.listMembers,
      async ({ app, params: { room }, query: { limit, cursor } }) => {
        const list = `members ${room}`
        const after = cursor === undefined ? undefined : nameIn(placeOf(app, list, cursor)?.[0])
        if (cursor !== undefined && after === undefined) return BAD_CURSOR
        const { members, more } = await node.rooms.page(app, room, after, limit)
        const last = members.at(-1)
        return done({
          members: members.flatMap(({ name, state, since }) =>
            state === 'offline' || since === undefined ? [] : [{ name, state, since }],
          ),
          ...(more && last !== undefined ? { next: cursorOf(app, list, [last.name]) } : {}),
        })
      },
    ),

    listNodes: route(operations.listNodes, async () =>
      done({
        nodes: nodes
          .list()
          .flatMap(({ node: id, status: { state } }) => (state === 'unknown' ? [] : [{ id, state }])),
      }),
    ),
  }
}

function listCursor(app: App, { partition, after }: ListCursor): string {
  return cursorOf(app, 'peers', after === undefined ? [partition] : [partition, after])
}

function listCursorOf(app: App, cursor: string): ListCursor | undefined {
  const [partition, last, ...more] = placeOf(app, 'peers', cursor) ?? []
  if (typeof partition !== 'number' || !Number.isInteger(partition) || more.length > 0) return undefined
  if (partition < 0 || partition >= PARTITIONS) return undefined
  if (last === undefined) return { partition }
  const after = nameIn(last)
  return after === undefined ? undefined : { partition, after }
}

function nameIn(input: unknown): Name | undefined {
  const parsed = parseName(input)
  return parsed.ok ? parsed.value : undefined
}
