import { afterEach, describe, expect, it } from 'vitest'
import { newConnection } from '../p2p/connections.js'
import { nodePeerConnection } from '../testing/controllers.js'

const open: RTCPeerConnection[] = []
afterEach(() => open.splice(0).forEach((connection) => connection.close()))

/** The ICE servers that a connection keeps of these. Creating the connection must not fail. */
async function kept(...iceServers: RTCIceServer[]): Promise<RTCIceServer[] | undefined> {
  const connection = newConnection(await nodePeerConnection(), { iceServers })
  open.push(connection)
  return connection.getConfiguration().iceServers
}

const login = { username: '1700000000:app/0a', credential: 'c/+=' }

describe('[PP28] ICE servers of node-datachannel', () => {
  it.each([
    ['stun:a.example', 'stun:a.example'],
    ['STUN:A.example:1', 'stun:a.example:1'],
    ['stun:192.0.2.1:9001', 'stun:192.0.2.1:9001'],
    ['stun:[2001:db8::1]', 'stun:[2001:db8::1]'],
    ['stun:[::1]:9001', 'stun:[::1]:9001'],
  ])('%s is used', async (url, expected) => {
    expect(await kept({ urls: url })).toEqual([{ urls: [expected] }])
  })

  it.each([
    ['turn:a.example', 'turn:a.example'],
    ['TURN:192.0.2.1:3478?transport=UDP', 'turn:192.0.2.1:3478?transport=udp'],
    ['turn:[::1]:3478', 'turn:[::1]:3478'],
  ])('%s is used', async (url, expected) => {
    expect(await kept({ urls: url, ...login })).toEqual([{ urls: [expected], ...login }])
  })

  it.each([
    'turns:a.example',
    'turns:[::1]:443?transport=tcp',
    'turns:a.example?transport=udp',
    'turn:a.example?transport=tcp',
    'TURN:a.example?transport=TCP',
    'stuns:a.example',
    'turn://a.example',
    'turn:a.example/path',
    'stun:a.example?transport=udp',
    'stun:[fe80::1%eth0]:1',
    'http://a.example',
    'nonsense',
    '',
  ])('%j, which libjuice cannot use, is left out', async (url) => {
    expect(await kept({ urls: url, ...login })).toEqual([])
    expect(await kept({ urls: [url, 'stun:b.example'], ...login })).toEqual([{ urls: ['stun:b.example'] }])
  })

  it('without a URL, or TURN without credentials, are left out', async () => {
    expect(await kept({ urls: [] })).toEqual([])
    expect(await kept({ urls: 'turn:a.example' })).toEqual([])
    expect(await kept({ urls: 'turn:a.example', username: 'u', credential: '' })).toEqual([])
  })

  it('may have credentials of any characters, and many URLs', async () => {
    const odd = { username: `17:a/b c@:?#%25é"'[]`, credential: `p@:/?#%é+= ` }
    expect(await kept({ urls: 'turn:a.example', ...odd })).toEqual([{ urls: ['turn:a.example'], ...odd }])
    const urls = Array.from({ length: 40 }, (_, index) => `stun:host${index}.example`)
    expect(await kept({ urls: [...urls, ...urls] })).toHaveLength(80)
  })
})

describe('[PP28] a WebRTC stack that refuses some ICE servers', () => {
  class Picky {
    static made: Picky[] = []
    closed = false
    constructor(readonly configuration: RTCConfiguration = {}) {
      const urls = (configuration.iceServers ?? []).flatMap((server) => server.urls)
      if (urls.some((url) => /^stuns|:6000/.test(url))) throw new SyntaxError('the port is blocked')
      Picky.made.push(this)
    }
    close(): void {
      this.closed = true
    }
  }

  it('gets the others, and the connections that were made to find out are closed', () => {
    const iceServers = [
      { urls: ['stuns:a', 'stun:b'] },
      { urls: ['turn:a:6000', 'turn:b', 'turns:b'], ...login },
    ]
    const configuration = { iceServers, iceTransportPolicy: 'relay' as const }
    // Picky has the part of a connection that this uses.
    const connection = newConnection(Picky as never, configuration) as unknown as Picky
    expect(connection.configuration).toEqual({
      iceTransportPolicy: 'relay',
      iceServers: [{ urls: 'stun:b' }, { urls: 'turn:b', ...login }, { urls: 'turns:b', ...login }],
    })
    expect(Picky.made.filter(({ closed }) => !closed)).toEqual([connection])
  })

  it('and fails for another reason is an error', () => {
    function Broken(): never {
      throw new Error('no more connections')
    }
    expect(() => newConnection(Broken as never, { iceServers: [{ urls: 'stun:a' }] })).toThrow(
      'no more connections',
    )
  })
})
