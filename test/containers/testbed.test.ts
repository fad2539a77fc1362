import { connect } from '@peerage/client'
import { expect, test } from 'vitest'
import { theEngine } from './engine.js'
import { startTestbed } from './testbed.js'

test('two peers on two nodes in containers exchange a message through HAProxy, and nothing is left afterwards', async () => {
  const engine = theEngine()
  const testbed = await startTestbed(engine, { prefix: 'testbed', subnet: '10.89.91', links: true })
  try {
    const alice = await connect(testbed.balancer.url, { name: 'alice', storage: null })
    const bob = await connect(testbed.balancer.url, { name: 'bob', storage: null })
    const arrived = new Promise((resolve) => bob.on('message', (_, data) => resolve(data)))
    await alice.send('bob', 'hello', { via: 'server' })
    expect(await arrived).toBe('hello')
    await Promise.all([alice.leave(), bob.leave()])
  } finally {
    await testbed.stop()
  }
  expect(await engine.docker(['ps', '--all', '--quiet', '--filter', 'name=^testbed-'])).toBe('')
  expect(await engine.docker(['network', 'ls', '--quiet', '--filter', 'name=^testbed-'])).toBe('')
})
