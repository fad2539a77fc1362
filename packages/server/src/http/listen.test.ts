import { Socket as UdpSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { bindUdp } from '@peerage/stun'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freePortPair } from '@peerage/test-support/ports.js'
import { bindNeighbour, bounded } from './listen.js'

test('a server of our own hears its errors also while nobody else does', () => {
  const server = bounded(createServer())
  expect(() => server.emit('error', new Error('accept EMFILE'))).not.toThrow()
})

test('a taken neighbour is named also where what was bound before it does not close', async () => {
  const port = await freePortPair()
  const blocker = await bindUdp('0.0.0.0', port + 1)
  const stuck: UdpSocket[] = []
  const spy = vi.spyOn(UdpSocket.prototype, 'close').mockImplementation(function (this: UdpSocket) {
    stuck.push(this)
    // The first is the one whose bind has failed; the next is the one that stands.
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
