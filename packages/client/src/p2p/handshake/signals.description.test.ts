import { afterEach, describe, expect, it } from 'vitest'
import { createP2P } from '../p2p.js'
import { answerTo, ownDescription } from './signals.js'
import { Controllers, nodePeerConnection, opened, received } from '../../testing/controllers.js'
import { Rendezvous } from '../../testing/rendezvous.js'

const text = (...lines: string[]): string => lines.map((line) => `${line}\r\n`).join('')
const SESSION = [
  'v=0',
  'o=- 1 1 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'a=extmap-allow-mixed',
]
const MEDIA = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel'
const BODY = [
  'a=mid:0',
  'a=sendrecv',
  'a=ice-options:trickle',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
]
const SNAP = 'a=sctp-init:AQAAHgIDxEgAUAAA/////yIvFdnAAAAEgAgABoLA'

describe('[PP29] a description that is sent', () => {
  it('has only whole lines, no candidates and no address', () => {
    const found = [
      ...SESSION,
      'm=application 61234 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP4 192.0.2.7',
      'a=candidate:1 1 UDP 1 192.0.2.7 61234 typ host',
      'a=end-of-candidates',
      ...BODY,
    ]
    const expected = text(...SESSION, MEDIA, 'c=IN IP4 0.0.0.0', ...BODY)
    expect(ownDescription(text(...found))).toBe(expected)
    expect(ownDescription(found.join('\n'))).toBe(expected)
    expect(ownDescription(found.join('\r\n'))).toBe(expected)
    expect(ownDescription(expected)).toBe(expected)
    expect(ownDescription(undefined)).toBe('')
  })

  it('keeps the port 0, which refuses the media section', () => {
    const refused = text('v=0', 'm=application 0 UDP/DTLS/SCTP webrtc-datachannel')
    expect(ownDescription(refused)).toBe(refused)
  })
})

describe('[PP29] an answer', () => {
  const offer = text(
    ...SESSION,
    'a=x-session:1',
    MEDIA,
    ...BODY,
    SNAP,
    'a=x-unknown:42',
    'a=x-flag',
    'a=setup:actpass',
  )

  it('does not repeat attributes that its stack does not support', () => {
    const echo = text(
      ...SESSION,
      'a=x-session:1',
      MEDIA,
      ...BODY,
      SNAP,
      'a=x-unknown:42',
      'a=x-flag',
      'a=setup:active',
    )
    expect(answerTo(offer, echo)).toBe(text(...SESSION, MEDIA, ...BODY, 'a=setup:active'))
  })

  it("keeps its stack's own attributes", () => {
    const spoken = text(
      ...SESSION,
      MEDIA,
      ...BODY,
      SNAP.replace('AQAAHgID', 'AQAAHjH+'),
      'a=x-own:1',
      'a=setup:active',
    )
    expect(answerTo(offer, spoken)).toBe(spoken)
    // In manual mode the other side's choice of the DTLS role may equal ours, so both descriptions may share that line.
    expect(answerTo(spoken, text(...BODY, 'a=setup:active'))).toContain('a=setup:active')
    // With werift, two peers of one process share a certificate.
    const certified = text(
      ...BODY,
      `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => 'AB').join(':')}`,
    )
    expect(answerTo(certified, certified)).toBe(certified)
  })
})

describe('[PP29] SNAP in the offer of a browser', () => {
  const controllers = new Controllers()
  afterEach(() => controllers.close())

  it('is not in the answer of node-datachannel, which copies the line', async () => {
    const Node = await nodePeerConnection()
    /** Its offers are like those of Chromium's origin trial. */
    class Snap extends Node {
      override createOffer(...args: unknown[]): never
      override async createOffer(): Promise<RTCSessionDescriptionInit> {
        const { type, sdp = '' } = await super.createOffer()
        return { type, sdp: `${sdp}${SNAP}\r\n` }
      }
    }
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { RTCPeerConnection: Snap })
    const bob = controllers.make(tier, 'bob')
    const theirs = opened(bob)
    const channel = await alice.connect('bob')
    const heard = received(await theirs)
    await channel.send('hello')
    expect(await heard).toBe('hello')
    const [offer, answer] = ['"offer"', '"answer"'].map((type) =>
      tier.sent.find(({ body }) => body.includes(type)),
    )
    expect(offer?.body).toContain(SNAP)
    expect(answer?.body).not.toContain('sctp-init')
  })

  it('is removed from an answer that repeats it, before WebRTC gets the answer', async () => {
    const tier = new Rendezvous()
    const heard: string[] = []
    class Recorder extends (await nodePeerConnection()) {
      override createOffer(...args: unknown[]): never
      override async createOffer(): Promise<RTCSessionDescriptionInit> {
        const { type, sdp = '' } = await super.createOffer()
        return { type, sdp: `${sdp}${SNAP}\r\n` }
      }
      override setRemoteDescription(description: RTCSessionDescriptionInit, ...more: unknown[]): never
      override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        heard.push(description.sdp ?? '')
        return super.setRemoteDescription(description)
      }
    }
    const context = tier.context('alice')
    const { signaling } = context
    const echo = JSON.stringify(`${SNAP}\r\na=sctp-port`).slice(1, -1)
    controllers.make(tier, 'bob')
    const alice = createP2P(
      {
        ...context,
        signaling: {
          send: (...args) => signaling.send(...args),
          onSignal: (listener) =>
            signaling.onSignal((signal) =>
              listener({ ...signal, body: signal.body.replace('a=sctp-port', echo) }),
            ),
        },
      },
      undefined,
      { RTCPeerConnection: Recorder },
    )
    await alice?.connect('bob')
    await alice?.close()
    // On a busy machine there may be two handshakes.
    expect(heard).not.toEqual([])
    for (const sdp of heard) expect(sdp).not.toContain('sctp-init')
  })
})
