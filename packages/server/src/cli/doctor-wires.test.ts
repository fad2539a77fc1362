import { expect, test } from 'vitest'
import { configSchema, type ConfigInput } from '../config/schema.js'
import { checkWires } from './doctor-wires.js'

const check = (input: ConfigInput) => checkWires(configSchema.parse(input))

test('without wires of fixed URLs there is nothing to say', () => {
  expect(check({})).toEqual([])
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
