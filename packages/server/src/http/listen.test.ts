import { Socket as UdpSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { bindUdp } from '@peerage/stun'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freePortPair } from '@peerage/test-support/ports.js'
import { bindNeighbour, bounded } from './listen.js'

test('an error of our own server does not throw while nobody else listens for it', () => {
  const server = bounded(createServer())
  expect(() => server.emit('error', new Error('accept EMFILE'))).not.toThrow()
})

test('a taken UDP port is reported even if the socket that was bound before it does not close', async () => {
  const port = await freePortPair()
  const blocker = await bindUdp('0.0.0.0', port + 1)
  const stuck: UdpSocket[] = []
  const spy = vi.spyOn(UdpSocket.prototype, 'close').mockImplementation(function (this: UdpSocket) {
    stuck.push(this)
    // The first close is of the socket whose bind failed, and the next one is of the bound socket.
    if (stuck.length > 1) throw new Error('it does not close')
    return this
  })
  onTestFinished(() => {
    spy.mockRestore()
    for (const socket of [blocker, ...stuck]) socket.close()
  })
  await expect(bindNeighbour('::', port)).rejects.toThrow(`UDP port ${port + 1} on ::`)
  expect(stuck).toHaveLength(2)
})
