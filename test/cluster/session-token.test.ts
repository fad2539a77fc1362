import { readFile } from 'node:fs/promises'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { connect } from '@peerage/client'
import { createPeerage } from '@peerage/server'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'

// An application with a sign-in of its own gives each signed-in person a token for the WebSocket, as most do.

const SECRET = 'a secret of the application, at least 32 bytes'
const SESSIONS = new Map([['session-of-ann', 'ann']])
const ends: (() => Promise<unknown> | void)[] = []
let url: string
let ca: Buffer

beforeAll(async () => {
  const certificates = await makeCertificates()
  ca = await readFile(certificates.ca)
  const [cert, key] = [await readFile(certificates.cert), await readFile(certificates.key)]
  const server = createServer({ cert, key }, ({ headers, url: path }, response) => {
    const name = SESSIONS.get(/session=([\w-]+)/.exec(headers.cookie ?? '')?.[1] ?? '')
    if (path !== '/token' || name === undefined) return void response.writeHead(401).end()
    const token = new SignJWT().setProtectedHeader({ alg: 'HS256' }).setSubject(name).setAudience('default')
    const signed = token.setExpirationTime('5 minutes').sign(new TextEncoder().encode(SECRET))
    void signed.then((text) => response.end(text))
  })
  const peerage = createPeerage({
    access: { mode: 'token', token: { algorithms: ['HS256'], secret: SECRET } },
    log: { level: 'silent' },
  }).attach(server)
  server.listen(0, '127.0.0.1')
  await Promise.all([once(server, 'listening'), peerage.ready()])
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  ends.push(
    () => void server.close(),
    () => peerage.stop(),
    () => certificates.remove(),
  )
  class Trusting extends WebSocket {
    constructor(address: string) {
      super(address, { ca })
    }
  }
  vi.stubGlobal('WebSocket', Trusting)
})

afterAll(async () => {
  for (const end of ends.reverse()) await end()
  vi.unstubAllGlobals()
})

async function tokenFor(cookie: string): Promise<string> {
  const asked = request(`${url}/token`, { headers: { cookie }, agent: new Agent({ ca }) })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return response.statusCode === 200 ? text : ''
}

test('[ASVS 4.4.4] the token for the WebSocket comes from the HTTPS session, and nothing else opens it', async () => {
  const peer = await connect(url, {
    name: 'ann',
    p2p: false,
    token: () => tokenFor('session=session-of-ann'),
  })
  expect(peer.name).toBe('ann')
  await peer.leave()
  const other = { p2p: false, timeoutMs: 5_000 } as const
  await expect(connect(url, { ...other, name: 'ann' })).rejects.toMatchObject({ code: 'bad-token' })
  const signedIn = await tokenFor('session=session-of-ann')
  await expect(connect(url, { ...other, name: 'bob', token: signedIn })).rejects.toMatchObject({
    code: 'forbidden',
  })
  expect(await tokenFor('session=guessed')).toBe('')
})
