import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { run } from '@peerage/test-support/process.js'
import { startServer } from '@peerage/test-support/fixture.js'
import { REDIS } from '@peerage/test-support/redis.js'
import { startContainer } from './container.js'
import { plain, theEngine, whyNoEngine, type Machine } from './engine.js'
import { IMAGE } from './image-build.js'

const able: Machine = {
  platform: 'linux',
  uid: 0,
  home: '/',
  capabilities: (1n << 41n) - 1n,
  has: () => true,
}

describe('where no engine can run, one line says why and what to do', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('DOCKER_HOST leads nowhere', async () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:1')
    expect(await whyNoEngine()).toBe(
      'DOCKER_HOST is tcp://127.0.0.1:1, and no engine answers there (nothing listens there); start it, or unset DOCKER_HOST',
    )
  })

  test.each([
    ['another system', { platform: 'darwin' }, /^only on Linux /],
    ['not root', { uid: 1000 }, /^they lose packets .*, which only root may; run this as root$/],
    [
      'root of a container',
      { capabilities: 0xa80425fbn },
      /^no Docker engine answers, and this root may not start one, .* --privileged\)$/,
    ],
    [
      'neither dockerd nor apt-get',
      { has: () => false },
      /^no Docker engine answers, and this machine has no dockerd and no apt-get .*; start Docker$/,
    ],
  ])('%s', async (_, differs, expected) => {
    vi.stubEnv('DOCKER_HOST', '')
    expect(await whyNoEngine({ ...able, ...differs })).toMatch(expected)
  })

  test('an engine without root', async () => {
    const rootless = createHttpServer((_, answer) => {
      answer.end('{"SecurityOptions":["name=seccomp,profile=default","name=rootless"]}')
    }).listen(0, '127.0.0.1')
    await once(rootless, 'listening')
    onTestFinished(() => void rootless.close())
    const host = `tcp://127.0.0.1:${(rootless.address() as AddressInfo).port}`
    vi.stubEnv('DOCKER_HOST', host)
    expect(await whyNoEngine(able)).toBe(
      `the engine at ${host} runs without root, so its containers cannot be reached by their addresses; set DOCKER_HOST to an engine that root runs`,
    )
  })

  test('a full disk', async () => {
    vi.stubEnv('DOCKER_HOST', '')
    const home = await makeDirectory('full')
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', home])
    onTestFinished(async () => {
      await run('umount', [home])
      await removeDirectory(home)
    })
    expect(await whyNoEngine({ ...able, home })).toBe(
      `an engine needs 4 GB in ${home}, where 0.0 GB are free; make room there, or set TMPDIR to another disk`,
    )
  })

  test('a machine that has what is needed', async () => {
    vi.stubEnv('DOCKER_HOST', '')
    expect(await whyNoEngine(able)).toBeUndefined()
  })
})

describe('what the engine refuses is said in one line', () => {
  test('a port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    onTestFinished(() => void taken.close())
    const { port } = taken.address() as AddressInfo
    const started = startContainer(theEngine(), 'bad-port', [
      '--publish',
      `127.0.0.1:${port}:9000`,
      '--env',
      'PEERAGE_OPEN=true',
      IMAGE,
    ])
    await expect(started).rejects.toThrow(
      new RegExp(`port ${port} of 127.0.0.1 is taken; end the program that listens there`),
    )
    expect(await theEngine().docker(['ps', '--all', '--quiet', '--filter', 'name=^bad-port'])).toBe('')
  })

  test('a disk that is full', async () => {
    const engine = theEngine()
    const small = ['--tmpfs', '/full:size=64k', '--entrypoint', 'sh']
    const fill = ['-c', 'head -c 1000000 /dev/zero > /full/file']
    const written = engine.docker(['run', '--rm', ...small, 'node:26-trixie-slim', ...fill])
    const message = await written.then(
      () => '',
      (error: unknown) => String(error),
    )
    expect(message).toContain('the disk of the Docker engine is full; make room there')
    expect(message).not.toContain('\n')
  })

  test('other words stay', () => {
    expect(plain('Error: No such image: nothing:1\n')).toBe('Error: No such image: nothing:1')
  })

  test('an image that cannot be had', async () => {
    const directory = await makeDirectory('bad-image')
    onTestFinished(() => removeDirectory(directory))
    const program = { ...REDIS, image: 'peerage-test/nowhere', tag: '1' }
    const ready = { what: 'redis', probe: () => Promise.resolve(true), deadlineMs: 1_000 }
    await expect(startServer(program, { args: [], directory, ready })).rejects.toThrow(
      /^redis cannot run in a container of peerage-test\/nowhere:1: /,
    )
  })
})
