import { describe, expect, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { checkAdvice } from './doctor-checks.js'
import { checkWires } from './doctor-wires.js'

const check = (input: ConfigInput) => checkWires(configSchema.parse(input))

test('without wires of fixed URLs it says how to switch them on', () => {
  expect(check({})).toEqual([
    {
      verdict: 'ok',
      subject: 'wires',
      text: 'none beside the SDK and PeerJS; they can be switched on: y-webrtc by yWebrtc.enabled (--y-webrtc), WebTorrent by webtorrent.enabled (--webtorrent), trystero by trystero.enabled (--trystero), matchbox by matchbox.enabled (--matchbox)',
    },
  ])
})

test('each wire is named with its path', () => {
  const path = '/tier'
  const on = { enabled: true }
  expect(check({ path, yWebrtc: on, webtorrent: on, trystero: on, matchbox: on })).toEqual([
    {
      verdict: 'ok',
      subject: 'wires',
      text: 'y-webrtc at /tier/y-webrtc/{app}, WebTorrent at /tier/announce/{app}, trystero at /tier/trystero/{app}, matchbox at /tier/matchbox/{room}?app=',
    },
  ])
})

test('[UW7] an app with tokens gets a warning, because a token in a fixed URL expires', () => {
  const secret = 'x'.repeat(48)
  const findings = check({
    yWebrtc: { enabled: true },
    defaultApp: 'chat',
    apps: { chat: { access: { token: { algorithms: ['HS256'], secret } } }, games: {} },
  })
  expect(findings.map(({ verdict }) => verdict)).toEqual(['ok', 'warn'])
  expect(findings[1]?.text).toMatch(/^chat: .*locks them out/)
})

test('[UW2] an app of pages only gets a warning if games with matchbox may come', () => {
  const origins = ['https://a.example']
  const warnings = (input: ConfigInput) =>
    check(input).flatMap(({ verdict, text }) => (verdict === 'warn' ? [text] : []))
  const matchbox = { enabled: true }
  expect(warnings({ matchbox, origins })).toEqual([
    expect.stringMatching(/^default: only pages .* a native game with matchbox is refused/),
  ])
  const access = { key: 'a-shared-key-of-many-characters' }
  expect(warnings({ matchbox, apps: { games: { access, origins }, pages: { origins }, any: {} } })).toEqual([
    expect.stringMatching(/^pages: /),
  ])
  expect(warnings({ matchbox, origins, access })).toEqual([])
  expect(warnings({ matchbox })).toEqual([])
  expect(warnings({ yWebrtc: { enabled: true }, origins })).toEqual([])
})

describe('without TURN', () => {
  const advice = async (input: ConfigInput) =>
    (await checkAdvice(configSchema.parse(input))).find(({ subject }) => subject === 'turn')?.text

  test('it says whose messages this server relays', async () => {
    const relayed = 'none: where no direct path exists, this server relays messages of the SDK'
    expect(await advice({ peerjs: { enabled: false } })).toBe(relayed)
    expect(await advice({ yWebrtc: { enabled: true }, matchbox: { enabled: true } })).toBe(
      `${relayed}; clients of PeerJS, y-webrtc, matchbox do not connect there`,
    )
  })

  test('and without the relay nobody connects there', async () => {
    expect(await advice({ relay: { enabled: false } })).toBe(
      'none: where no direct path exists, peers do not connect',
    )
  })
})
