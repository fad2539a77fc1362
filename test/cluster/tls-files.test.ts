import { once } from 'node:events'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { makeCertificates, type Certificates } from '@peerage/test-support/certificates.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { freePort } from '@peerage/test-support/ports.js'
import type { Child } from '@peerage/test-support/process.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { useCommand } from './command.js'

// Certificates are renewed while nodes run, and operators report it with SIGHUP.

const START_MS = 20_000
const { cleanups, peerage, ended } = useCommand()

async function certificates(): Promise<Certificates> {
  const made = await makeCertificates()
  cleanups.push(() => made.remove())
  return made
}

/** The files in a node's configuration, which the test replaces as a renewal program does. */
async function liveFiles(): Promise<{
  cert: string
  key: string
  write: (from: Certificates) => Promise<void>
}> {
  const directory = await makeDirectory('tls-live')
  cleanups.push(() => removeDirectory(directory))
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  return {
    cert,
    key,
    write: async (from) => {
      await copyFile(from.cert, cert)
      await copyFile(from.key, key)
    },
  }
}

function logged(
  child: Child,
  msg: string,
  matches: (record: Record<string, unknown>) => boolean = () => true,
) {
  return child.line((line) => {
    const record: Record<string, unknown> = line.startsWith('{') ? JSON.parse(line) : {}
    return record['msg'] === msg && matches(record) ? record : undefined
  }, START_MS)
}

/** Whether a new connection gets a certificate of this authority. */
async function serves(port: number, { ca }: Certificates): Promise<boolean> {
  const socket = connectTls({ port, host: '127.0.0.1', ca: await readFile(ca) })
  try {
    await once(socket, 'secureConnect')
    return true
  } catch {
    return false // signed by another authority
  } finally {
    socket.destroy()
  }
}

test('a node loads a renewed certificate by itself, and at once on SIGHUP, and open sockets stay open', async () => {
  const [first, second, third] = [await certificates(), await certificates(), await certificates()]
  const files = await liveFiles()
  await files.write(first)
  const child = await peerage(['serve', '--port', '0', '--tls-cert', files.cert, '--tls-key', files.key])
  const port = Number((await logged(child, 'ready'))['port'])
  const socket = new WebSocket(`wss://127.0.0.1:${port}/peerage/?EIO=4&transport=websocket`, {
    rejectUnauthorized: false,
  })
  cleanups.push(() => socket.terminate())
  await once(socket, 'message')
  expect(await serves(port, first)).toBe(true)

  await files.write(second)
  expect(await logged(child, 'certificate renewed')).toMatchObject({ section: 'tls' })
  expect(await serves(port, second)).toBe(true)
  expect(await serves(port, first)).toBe(false)

  await files.write(third)
  await child.kill('SIGHUP')
  await logged(child, 'reading the TLS files again')
  await expect.poll(() => serves(port, third)).toBe(true)

  // An incomplete renewal and an invalid file are reported, and the old certificate stays in use.
  await copyFile(first.key, files.key)
  await child.kill('SIGHUP')
  const said = (text: string) => (record: Record<string, unknown>) => String(record['error']).includes(text)
  await logged(child, 'failed', said('key values mismatch; the files that were read before stay in use'))
  await writeFile(files.cert, 'not a certificate\n')
  await child.kill('SIGHUP')
  await logged(child, 'failed', said('is not a PEM file'))
  expect(await serves(port, third)).toBe(true)
  await files.write(second)
  await child.kill('SIGHUP')
  await expect.poll(() => serves(port, second)).toBe(true)
  expect(socket.readyState).toBe(WebSocket.OPEN)
})

test('[ASVS 4.4.1] a node with a certificate takes no plain connection, and no TLS below 1.2', async () => {
  const files = await liveFiles()
  const authority = await certificates()
  await files.write(authority)
  const child = await peerage(['serve', '--port', '0', '--tls-cert', files.cert, '--tls-key', files.key])
  const port = Number((await logged(child, 'ready'))['port'])
  const plain = new WebSocket(`ws://127.0.0.1:${port}/peerage/?EIO=4&transport=websocket`)
  const [error] = (await once(plain, 'error')) as [Error]
  expect(error.message).toMatch(/socket hang up|ECONNRESET|Parse Error/)
  const old = connectTls({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
  })
  const [refused] = (await once(old, 'error')) as [Error]
  expect(refused.message).toMatch(/protocol|version|alert/i)
  expect(await serves(port, authority)).toBe(true)
})

test('a node also loads a renewed authority of Redis', async () => {
  const [ours, others] = [await certificates(), await certificates()]
  const redis = await startRedis({ tls: ours })
  cleanups.push(() => redis.stop())
  const directory = await makeDirectory('tls-live')
  cleanups.push(() => removeDirectory(directory))
  const ca = join(directory, 'ca.pem')
  await copyFile(others.ca, ca)
  const child = await peerage(['serve', '--port', '0', '--redis', redis.url, '--redis-ca', ca])
  await logged(child, 'failed', (record) => /certificate/.test(String(record['error'])))
  await copyFile(ours.ca, ca)
  await child.kill('SIGHUP')
  await logged(child, 'ready')
})

test.each([
  ['serve', ['serve', '--port', '0'], /"msg":"ready"/],
  ['stun', ['stun', '--port', '0', '--host', '127.0.0.1'], /"msg":"ready"/],
  ['cluster', ['cluster', '--nodes', '1'], /^Open .* in a browser/],
])('SIGHUP does not end peerage %s', async (command, args, isUp) => {
  const port = command === 'cluster' ? ['--port', String(await freePort())] : []
  const child = await peerage([...args, ...port])
  await child.line((line) => (isUp.test(line) ? true : undefined), 60_000)
  await child.kill('SIGHUP')
  await child.kill('SIGHUP')
  await child.kill('SIGTERM')
  expect(await child.stopped).toEqual({ code: 0, signal: null })
})

test('doctor says when the certificate ends, and reports a key that does not match', async () => {
  const [one, other] = [await certificates(), await certificates()]
  const run = (key: string) => ended(['doctor', '--port', '0', '--tls-cert', one.cert, '--tls-key', key])
  expect((await run(one.key)).text).toMatch(/^ok {4}tls {11}the certificate ends on /m)
  expect((await run(other.key)).text).toMatch(/^fail {2}tls {11}.*key values mismatch/m)
})
