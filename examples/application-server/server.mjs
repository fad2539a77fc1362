// An application server. It signs tokens for its own people, and sees and steers their peers by the API of a node.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { ApiError, createApi } from '@peerage/client/api'

const { PORT = '8080', PEERAGE_URL = 'http://127.0.0.1:9000', API_KEY = '' } = process.env
const api = createApi({ url: PEERAGE_URL, key: API_KEY })

// These stand for your own sign-in: whose session a cookie is, and who may ban.
const people = new Map(Object.entries({ 'session-1': 'ann', 'session-2': 'bob' }))
const moderators = new Set(['ann'])

const routes = {
  // The SDK presents this token to a node, and fetches the next one before it ends.
  'POST /token': async (person) => (await api.mintToken({ sub: person, ttlMs: 600_000 })).token,
  'GET /online': async () => {
    const names = []
    for await (const { name } of api.allPeers({ state: 'online' })) names.push(name)
    return names.join('\n')
  },
  'POST /message': (person, { to, text }) => api.sendToPeer(to, { from: person, text }),
  // Bans the person, not the name: whoever holds a token of this person is out on all nodes, also with a new token.
  'POST /ban': async (person, { whom, minutes }) => {
    if (!moderators.has(person)) return undefined
    await api.disconnectIdentity(whom, { reason: `banned by ${person}`, banMs: minutes * 60_000 })
    return `${whom} is out for ${minutes} minutes`
  },
}

async function bodyOf(request) {
  let text = ''
  for await (const chunk of request) if ((text += chunk).length > 10_000) throw new TypeError('too long')
  return text === '' ? {} : JSON.parse(text)
}

async function answer(request, response) {
  const person = people.get(/\bsession=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1])
  const act = routes[`${request.method} ${request.url}`]
  try {
    const text = person && (await act?.(person, await bodyOf(request)))
    response.writeHead(text === undefined ? 403 : 200).end(text)
  } catch (error) {
    // The code says what the node refused. Its text is for developers.
    response.writeHead(error instanceof ApiError ? 502 : 400).end(error.code ?? 'bad request')
  }
}

const server = createServer((request, response) => void answer(request, response))
server.listen(Number(PORT), '127.0.0.1')
await once(server, 'listening')
const { port } = server.address()
const told = once(process, 'SIGTERM')
const registration = await api.registerServer({ id: `web-${port}`, address: `http://127.0.0.1:${port}` })
const { servers } = await api.listServers()
console.log(`listening on port ${port}; servers of this app: ${servers.length}`)

await told
await registration.stop()
server.close()
