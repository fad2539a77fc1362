import { once } from 'node:events'
import { connect } from 'node:net'
import { eventually } from '@peerage/test-support/process.js'
import { describe, expect, test } from 'vitest'
import { expectMet } from '../chaos/expectations.js'
import { lose } from '../chaos/packets.js'
import { runChaos } from '../chaos/run.js'
import { startContainer } from './container.js'
import { theEngine } from './engine.js'

// A short selection of the faults between containers; `npm run chaos -- --faults F29,F30,…` runs all of them. Each has its
// own network and mostly waits, so they run side by side.
const SELECTION = [
  ['F29-in', 20_261_121],
  ['F30-out', 20_261_121],
  ['F31-reset', 20_261_122],
  ['F35', 20_261_121],
] as const

describe('the network between containers', () => {
  test.concurrent.for(SELECTION)(
    '%s meets its expectation: no acknowledged message is lost, doubled or reordered, and every send is answered',
    { timeout: 240_000 },
    async ([id, seed], { expect: expected }) => {
      const said: string[] = []
      const [result] = await runChaos({
        seed,
        faults: [id],
        times: 1,
        peers: 12,
        engine: theEngine(),
        log: (line) => said.push(line),
      })
      process.stderr.write(`${said.slice(1).join('\n')}\n`)
      expectMet(expected, result, said)
    },
  )

  test('packets that are answered by a reset end the connection at once', async ({ onTestFinished }) => {
    const engine = theEngine()
    const redis = await startContainer(engine, 'chaos-reset', ['redis:7.4'])
    onTestFinished(() => redis.remove())
    const address = await engine.docker([
      'inspect',
      '--format',
      '{{.NetworkSettings.IPAddress}}',
      'chaos-reset',
    ])
    const answers = async (): Promise<true> => {
      const socket = connect(6379, address)
      socket.write('PING\r\n')
      const [said] = await once(socket, 'data')
      socket.destroy()
      if (String(said) !== '+PONG\r\n') throw new Error(`Redis says ${String(said)}`)
      return true
    }
    await eventually('Redis answers', answers, { deadlineMs: 10_000 })
    const socket = connect(6379, address)
    await once(socket, 'connect')
    const lossy = await lose(redis, { direction: 'both', reset: true })
    socket.write('PING\r\n')
    const [error] = await once(socket, 'error')
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    expect(await lossy.counted()).toBeGreaterThan(0)
    await lossy.heal()
    expect(await answers()).toBe(true)
  })

  test('nothing is left', async () => {
    const engine = theEngine()
    expect(await engine.docker(['ps', '--all', '--quiet', '--filter', 'name=^chaos-'])).toBe('')
    expect(await engine.docker(['network', 'ls', '--quiet', '--filter', 'name=^chaos-'])).toBe('')
  })
})
