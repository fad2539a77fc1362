import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { decodeFrame, decodeHello, decodeNodeMessage } from './decode.js'
import { isErrorCode } from './errors.js'
import { isObject } from './rules.js'
import { readTable } from './testing/index.js'

// Checks the worked example of SPEC.md: the decoders accept every packet in it, and the packets fit together.

interface Step {
  from: string
  to: string
  /** What stands before the JSON: the types of engine.io and socket.io. */
  prefix: string
  json: unknown
}

const spec = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8')
const [section = ''] = spec.split(/^## \d+\. A whole session$/m)[1]?.split(/^## /m) ?? []
const steps = [...section.matchAll(/^(\w+) → (\w+) +(\d+)(.*)$/gm)].map(
  ([, from = '', to = '', prefix = '', text = '']): Step => ({
    from,
    to,
    prefix,
    json: text === '' ? undefined : JSON.parse(text),
  }),
)

/** The keys that the table of packets names for a packet of a node. */
function keysOf(prefix: string): string[] {
  const row = readTable(spec, 'Packets').find(({ packet }) => packet?.startsWith(`${prefix}{"`))
  return [...(row?.['packet'] ?? '').matchAll(/"(\w+)"/g)].map(([, key = '']) => key)
}

/** What a step says, with all its fields. Fails where a decoder would not accept it, or would leave a field out. */
function read({ from, prefix, json }: Step): { type: string; fields: Record<string, unknown> } {
  if (prefix === '42' && Array.isArray(json)) {
    const [type, fields]: unknown[] = json
    if (typeof type !== 'string' || !isObject(fields)) throw new Error(`not a frame: ${JSON.stringify(json)}`)
    const text = `42${JSON.stringify(json)}`
    expect(from === 'node' ? decodeNodeMessage(type, fields) : decodeFrame(text), text).toEqual({
      ok: true,
      value: { type, ...fields },
    })
    return { type, fields }
  }
  const fields = isObject(json) ? json : {}
  if (prefix === '40' && from !== 'node') expect(decodeHello(json)).toEqual({ ok: true, value: json })
  else if (isObject(json)) expect(Object.keys(json)).toEqual(keysOf(prefix))
  return { type: prefix, fields }
}

test('[WH1] [WH3] [WF1] the packets of the worked session are the ones that the decoders accept', () => {
  expect(steps.map((step) => `${step.from} → ${step.to} ${read(step).type}`)).toEqual([
    'node → ada 0',
    'ada → node 40',
    'node → ada 40',
    'node → ada welcome',
    'node → ada 44',
    'node → ada 2',
    'ada → node 3',
    'ada → node lookup',
    'node → ada found',
    'ada → node send',
    'node → bob message',
    'bob → node ack',
    'node → ada acked',
    'node → ada notice',
    'ada → node leave',
    'node → ada closing',
  ])
})

test('[WR1] [WR3] [WD5] the packets of the worked session fit together', () => {
  const said = (type: string): Record<string, unknown> => {
    const step = steps.find((one) => read(one).type === type)
    if (step === undefined) throw new Error(`the session has no ${type}`)
    return read(step).fields
  }
  const [opened, welcome, refused] = [said('0'), said('welcome'), said('44')]
  expect(welcome['pingMs']).toBe(Number(opened['pingInterval']) + Number(opened['pingTimeout']))
  const { data } = refused
  expect(isObject(data) && isErrorCode(data['code']) && data['code']).toBe(refused['message'])

  const [lookup, found, send, message] = [said('lookup'), said('found'), said('send'), said('message')]
  expect(found['id']).toBe(lookup['id'])
  expect(found['peers']).toEqual([{ name: send['to'], state: 'online', since: send['since'] }])
  const { to, ...rest } = send
  expect(message).toEqual({ ...rest, from: welcome['name'], since: welcome['since'] })

  const next = Number(send['seq']) + 1
  expect(said('ack')['acks']).toEqual([{ to: welcome['name'], stream: send['stream'], next }])
  expect(said('acked')).toEqual({ from: to, stream: send['stream'], next })
  expect(said('notice')).toMatchObject({ to, stream: send['stream'], seq: send['seq'] })
})
