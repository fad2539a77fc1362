import { z } from 'zod'
import { cursorOf, startOf } from '../cursors.js'
import type { ApiDependencies } from '../dependencies.js'
import { operations } from '../operations.js'
import { BAD_CURSOR, done, notFound, refuse } from '../replies.js'
import { route } from '../route.js'

/** How long a registration lasts. The typed client renews it every 10 s, so two renewals may fail. */
const TTL_MS = 30_000
const SERVERS_MOST = 1_000

/** What is stored of an application server. */
const stored = z.object({ address: z.string(), status: z.string() })

/** Undefined for a text that no node of this version has written. */
function readServer(id: string, text: string): { id: string; address: string; status: string } | undefined {
  try {
    const { data } = stored.safeParse(JSON.parse(text))
    return data && { id, ...data }
  } catch {
    return undefined
  }
}

const NOT_REGISTERED = notFound('no application server is registered with this id')

/** Application servers that register themselves. */
export function serverRoutes({ records }: ApiDependencies) {
  return {
    putServer: route(operations.putServer, async ({ app, params: { id }, body: { address, status } }) => {
      const text = JSON.stringify({ address, status })
      const put = await records.put(app, 'servers', id, text, TTL_MS, SERVERS_MOST)
      return put === 'full'
        ? refuse('too-many', `an app may have ${SERVERS_MOST} servers`)
        : done({ id, address, status, ttlMs: TTL_MS })
    }),

    getServer: route(operations.getServer, async ({ app, params: { id } }) => {
      const [text] = await records.get(app, 'servers', [id])
      const server = text === undefined ? undefined : readServer(id, text)
      return server === undefined ? NOT_REGISTERED : done(server)
    }),

    removeServer: route(operations.removeServer, async ({ app, params: { id } }) =>
      (await records.delete(app, 'servers', id)) ? done(undefined) : NOT_REGISTERED,
    ),

    listServers: route(operations.listServers, async ({ app, query: { limit, cursor } }) => {
      const start = startOf(app, 'servers', cursor)
      if (start === undefined) return BAD_CURSOR
      const page = await records.page(app, 'servers', start.after, limit)
      return done({
        servers: page.records.flatMap(({ key, value }) => readServer(key, value) ?? []),
        ...(page.next === undefined ? {} : { next: cursorOf(app, 'servers', [page.next]) }),
      })
    }),
  }
}
