import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { promisify } from 'node:util'
import type { FailedAttempt } from '@peerage/client'
import { PeerageError, connect } from '@peerage/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { childEnvironment } from '@peerage/test-support/process.js'

// A newcomer's first mistake is often a wrong address. `connect` says what is wrong at once, while it still tries, and
// again when it gives up.

const run = promisify(execFile)
const closers: (() => Promise<void>)[] = []
let certificates: Certificates
let node: Node
let plain: number
let tls: number
let silent: number
let free: number

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(async () => void server.close())
  const { port } = server.address() as AddressInfo
  return port
}

beforeAll(async () => {
  certificates = await makeCertificates()
  node = await startNode()
  closers.push(
    () => certificates.remove(),
    () => node.stop(),
  )
  plain = await listening(createServer((_, response) => response.writeHead(404).end('not here')))
  const [key, cert] = await Promise.all([readFile(certificates.key), readFile(certificates.cert)])
  tls = await listening(createTlsServer({ key, cert }, (_, response) => response.writeHead(404).end()))
  silent = await listening(createTcpServer((socket) => socket.on('error', () => {}).resume()))
  const gone = createTcpServer()
  free = await listening(gone)
  gone.close()
})

afterAll(async () => {
  for (const close of closers.splice(0)) await close()
})

/** The error of the first attempt, and the error with which `connect` gave up. */
async function tried(
  url: string,
  timeoutMs = 1_500,
): Promise<{ first: Error | undefined; last: PeerageError }> {
  const failed: FailedAttempt[] = []
  const began = Date.now()
  let toldMs = Infinity
  const onRetry = (one: FailedAttempt): void => {
    toldMs = Math.min(toldMs, Date.now() - began)
    failed.push(one)
  }
  const last = await connect(url, { timeoutMs, onRetry }).then(
    () => Promise.reject(new Error('it connected')),
    (error: unknown) => error,
  )
  if (!(last instanceof PeerageError)) throw last
  expect(last.code).toBe('timeout')
  expect(toldMs).toBeLessThan(timeoutMs)
  expect(last.cause).toBe(failed.at(-1)?.error)
  expect(last.message).toContain(failed.at(-1)?.error.message)
  return { first: failed[0]?.error, last }
}

const cases: [what: string, url: () => string, said: RegExp][] = [
  ['a dead port', () => `http://127.0.0.1:${free}`, /ECONNREFUSED.*Nothing listens there/],
  [
    'a dead port of a host with several addresses',
    () => `http://localhost:${free}`,
    /ECONNREFUSED.*Nothing listens/,
  ],
  ['a server that is not a node', () => `http://127.0.0.1:${plain}`, /404|ECONNRESET|hang up/],
  [
    'a path that no node serves',
    () => `${node.url}/elsewhere`,
    /response: 404. Something other than a node answers there/,
  ],
  ['an untrusted certificate', () => `https://127.0.0.1:${tls}`, /certificate.* is not trusted here/],
  [
    'an unknown host',
    () => 'http://no-such-host.invalid:9000',
    /no-such-host.invalid.*There is no such host/,
  ],
  ['http:// to a TLS port', () => `http://127.0.0.1:${tls}`, /the URL must begin with https:/],
  ['https:// to a port without TLS', () => `https://127.0.0.1:${plain}`, /Should the URL begin with http:/],
]

test.concurrent.each(cases)(
  '[WL6] %s is reported while connect tries and when it gives up',
  async (_what, url, said) => {
    const { first, last } = await tried(url())
    expect(first?.message).toMatch(said)
    expect(last.message).toMatch(
      /^not connected to http.* within 1.5 s\. The last attempt: no WebSocket to ws/,
    )
  },
)

test.concurrent('[WL5] [WL6] a server that never answers is reported as silent', async () => {
  const { first } = await tried(`http://127.0.0.1:${silent}`, 11_500)
  expect(first?.message).toMatch(/nothing came within 8 s\. Is it a node/)
})

test.concurrent('a wrong address does not end the process, and the caller of connect can catch the error', async () => {
  const script = `
    import { connect } from '@peerage/client'
    for (const url of ['localhost:9000', undefined, 'http://127.0.0.1:${free}', 'https://127.0.0.1:${plain}'])
      try {
        await connect(url, { timeoutMs: 500 })
      } catch (error) {
        console.log(error.name, error.code ?? '')
      }
    setTimeout(() => console.log('alive'), 500)
  `
  const output = await run(process.execPath, ['--input-type=module', '-e', script], {
    cwd: REPOSITORY,
    env: childEnvironment(),
  })
  expect(output.stdout.split('\n')).toEqual([
    'TypeError ',
    'TypeError ',
    'PeerageError timeout',
    'PeerageError timeout',
    'alive',
    '',
  ])
  expect(output.stderr).toContain('Peerage tries to connect again: no WebSocket to')
})
