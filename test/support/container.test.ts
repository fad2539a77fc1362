import { chmod } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { answersAt, askEngine, dockerAnswers, engineHost } from './container.js'
import { makeDirectory, removeDirectory } from './fixture.js'

const NOBODY = 65_534

afterEach(() => vi.unstubAllEnvs())

test('an engine answers at its TCP address, and at its socket', async () => {
  const server = createHttpServer((asked, answer) => {
    answer.statusCode = asked.url === '/_ping' ? 200 : 404
    answer.end('OK')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await answersAt(host)).toBe(true)
  vi.stubEnv('DOCKER_HOST', host)
  expect(await engineHost()).toBe(host)
})

test('what is no engine does not answer: an address without a scheme, ssh, a missing socket, a server that is silent', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as AddressInfo
  for (const host of [
    '',
    'localhost',
    'ssh://docker.example',
    'unix:///nowhere/docker.sock',
    `tcp://127.0.0.1:${port}`,
  ])
    expect(await answersAt(host), host).toBe(false)
})

test('why no engine answers is said: an address of another kind, a port without a server, another server', async () => {
  const why = async (host: string): Promise<unknown> => askEngine(host, '/_ping')
  const kind = { ok: false, why: 'not unix:///path or tcp://host:port' }
  expect(await why('ssh://docker.example')).toEqual(kind)
  expect(await why('localhost')).toEqual(kind)
  expect(await why('tcp://127.0.0.1:1')).toEqual({ ok: false, why: 'nothing listens there' })

  const other = createHttpServer((_, answer) => answer.writeHead(400).end()).listen(0, '127.0.0.1')
  await once(other, 'listening')
  onTestFinished(() => void other.close())
  const { port } = other.address() as AddressInfo
  expect(await why(`tcp://127.0.0.1:${port}`)).toEqual({ ok: false, why: 'it answers with HTTP 400' })
})

test.runIf(process.platform === 'linux')('an account that may not use the engine is told so', async () => {
  const directory = await makeDirectory('engine')
  onTestFinished(() => removeDirectory(directory))
  const path = join(directory, 'docker.sock')
  const engine = createHttpServer((_, answer) => void answer.end('OK')).listen(path)
  await once(engine, 'listening')
  onTestFinished(() => void engine.close())
  await chmod(path, 0)
  // Root may use every socket.
  const isRoot = process.getuid?.() === 0
  if (isRoot) process.seteuid?.(NOBODY)
  const asked = askEngine(`unix://${path}`, '/_ping')
  const answer = await asked.finally(() => {
    if (isRoot) process.seteuid?.(0)
  })
  const why = 'this account may not use it: add it to the group docker'
  expect(answer).toEqual({ ok: false, why })
})

test('another word in PEERAGE_TEST_PARTS is an error of one line', async () => {
  vi.stubEnv('PEERAGE_TEST_PARTS', 'containers')
  await expect(dockerAnswers()).rejects.toThrow(
    /^PEERAGE_TEST_PARTS is "containers"\. Set it to "binary" or "container", or unset it\.$/,
  )
})

test('where servers must run in containers, a missing engine is an error of one line', async () => {
  vi.stubEnv('DOCKER_HOST', 'unix:///nowhere/docker.sock')
  vi.stubEnv('PEERAGE_TEST_PARTS', 'container')
  await expect(dockerAnswers()).rejects.toThrow(
    /^PEERAGE_TEST_PARTS=container asks .* no Docker engine answers: unix:\/\/\/nowhere\/docker.sock \(nothing listens there\)\. Start one, or unset the variable\.$/,
  )
  vi.stubEnv('PEERAGE_TEST_PARTS', 'binary')
  expect(await dockerAnswers()).toBe(false)
})
