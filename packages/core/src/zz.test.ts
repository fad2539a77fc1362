import { encodeEnvelope, decodeEnvelopes } from './envelope-codec.js'
import { test } from 'vitest'
test('bench', () => {
const e: any = { type: 'deliver', epoch: 1795200000123, hops: 0, message: { from: 'peerage/6f9619ff-8b86-d011-b42d-00cf4fc964ff', to: 'peerage/6f9619ff-8b86-d011-b42d-00cf4fc964fe', wire: 'native', kind: 'message', since: 1795200000123, reply: { node: 'abcdefgh', connection: 'c12', ref: 'AAAAAAAAAAA:12' }, frame: '42["message",{"from":"x","since":1795200000123,"stream":"AAAAAAAAAAA","seq":1,"base":0,"kind":"message","body":"hello"}]' } }
let n = 0
for (let r = 0; r < 4; r++) {
  let t = performance.now(); const N = 300000
  for (let i = 0; i < N; i++) { e.epoch++; n += encodeEnvelope(e).length }
  const enc = (performance.now() - t) / N * 1000
  const bufs = Array.from({length: 1000}, () => Buffer.from(encodeEnvelope(e)))
  t = performance.now()
  for (let i = 0; i < N; i++) n += decodeEnvelopes(bufs[i % 1000].toString(), (x) => { n += x.type.length })
  const dec = (performance.now() - t) / N * 1000
  t = performance.now()
  for (let i = 0; i < N; i++) n += JSON.stringify(e).length
  const js = (performance.now() - t) / N * 1000
  const s = Array.from({length: 1000}, () => Buffer.from(JSON.stringify(e)))
  t = performance.now()
  for (let i = 0; i < N; i++) n += JSON.parse(s[i % 1000].toString()).epoch
  const jp = (performance.now() - t) / N * 1000
  console.log({ enc, dec, js, jp })
}
})
