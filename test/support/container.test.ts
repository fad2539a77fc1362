import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { answersAt, dockerAnswers, engineHost } from './container.js'

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

test('where servers must run in containers, a missing engine is an error of one line', async () => {
  vi.stubEnv('DOCKER_HOST', 'unix:///nowhere/docker.sock')
  vi.stubEnv('PEERAGE_TEST_PARTS', 'container')
  await expect(dockerAnswers()).rejects.toThrow(
    /^PEERAGE_TEST_PARTS=container asks .* no Docker engine answers at unix:\/\/\/nowhere\/docker.sock. Start one, or unset the variable.$/,
  )
  vi.stubEnv('PEERAGE_TEST_PARTS', 'binary')
  expect(await dockerAnswers()).toBe(false)
})
