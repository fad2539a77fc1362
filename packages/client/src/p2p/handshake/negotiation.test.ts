import { describe, expect, it } from 'vitest'
import { OwnCandidates } from './negotiation.js'

const HOST = 'candidate:1 1 udp 1 192.0.2.2 5000 typ host'
const REFLEXIVE = 'candidate:2 1 udp 1 203.0.113.7 5000 typ srflx raddr 192.0.2.2 rport 5000'
const RELAYED = 'candidate:3 1 udp 1 198.51.100.3 5000 typ relay raddr 203.0.113.7 rport 5000'

describe('own candidates', () => {
  it('[PP15] with relayOnly are only relayed ones, without the related address', () => {
    const own = new OwnCandidates(true)
    for (const line of [HOST, REFLEXIVE, RELAYED]) own.keep(line)
    expect(own.take()).toEqual(['candidate:3 1 udp 1 198.51.100.3 5000 typ relay raddr 0.0.0.0 rport 0'])
  })

  it('[PP2] are at most 20 until ICE restarts, of which at most 12 are host candidates', () => {
    const own = new OwnCandidates(false)
    for (let i = 0; i < 30; i++) own.keep(HOST)
    expect(own.take()).toHaveLength(12)
    for (let i = 0; i < 30; i++) own.keep(REFLEXIVE)
    expect(own.take()).toHaveLength(8)
    expect(own.keep(RELAYED)).toBe(0)
    own.restart()
    expect(own.keep(RELAYED)).toBe(1)
  })

  it('[PP2] are not sent if the other side would refuse them', () => {
    const own = new OwnCandidates(false)
    expect(own.keep('')).toBe(0)
    expect(own.keep(HOST.replace('192.0.2.2', 'name.example'))).toBe(0)
    expect(own.take()).toEqual([])
  })
})
