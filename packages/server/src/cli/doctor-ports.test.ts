import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { freePort } from '@peerage/test-support/ports.js'
import { expect, onTestFinished, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { checkPorts } from './doctor-ports.js'

/** The port of another server, which gives this answer to every request. */
async function taken(answer: string): Promise<number> {
  const server = createServer((_, response) => void response.end(answer))
  onTestFinished(() => void server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function found(config: ConfigInput): Promise<string[]> {
  const findings = await checkPorts(configSchema.parse({ p2p: { useAsP2PServer: false }, ...config }))
  return findings.map(({ verdict, subject, text }) => `${verdict} ${subject}: ${text}`)
}

test('for port 0 doctor says that any free port will do', async () => {
  const any = { port: 0, admin: { port: 0 }, links: { host: '127.0.0.1' } }
  expect(await found(any)).toEqual([
    'ok port: any free TCP port of 127.0.0.1 will do',
    'ok admin port: any free TCP port of 127.0.0.1 will do',
    'ok links port: any free TCP port of 127.0.0.1 will do',
  ])
  expect(await found({ port: 0, p2p: { useAsP2PServer: true } })).toEqual([
    'ok port: any free TCP port of 127.0.0.1 will do, and the next one for UDP for the P2P server',
  ])
})

test('doctor names a port that is free', async () => {
  const port = await freePort()
  expect(await found({ port })).toEqual([`ok port: TCP ${port} on 127.0.0.1 is free`])
})

test('ports that a running node has taken are no failure', async () => {
  const [port, links] = [await taken('{"version":"1.2.3","protocol":1}'), await taken('')]
  const right = 'is taken, and a node of Peerage runs here: fine, if that is the node of these settings'
  expect(await found({ port, links: { host: '127.0.0.1', port: links } })).toEqual([
    `warn port: TCP ${port} on 127.0.0.1 ${right}`,
    `warn links port: TCP ${links} on 127.0.0.1 ${right}`,
  ])
})

test.each(['', '{"version":"nginx"}', 'null', 'x'.repeat(5_000)])(
  'a port that another program has taken is a failure (it answers %j)',
  async (answer) => {
    const port = await taken(answer)
    expect(await found({ port })).toEqual([
      expect.stringMatching(`^fail port: TCP port ${port} on 127\\.0\\.0\\.1 is taken by another process`),
    ])
  },
)

test('a taken port for links is a failure when no node has the main port', async () => {
  const links = { host: '127.0.0.1', port: await taken('{"version":"1.2.3","protocol":1}') }
  expect(await found({ port: 0, links })).toEqual([
    expect.stringMatching(/^ok port/),
    expect.stringMatching(/^fail links port: TCP port \d+ .* change links\.port \(--links-port\)$/),
  ])
})

test('for port 0 on an address that this machine lacks, doctor does not name a port', async () => {
  expect(await found({ port: 0, host: '192.0.2.1', open: true })).toEqual([
    'fail port: any TCP port on 192.0.2.1: this machine has no such address; change host (--host)',
  ])
})
