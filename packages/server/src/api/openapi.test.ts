import { readDocument } from '@peerage/test-support/documents.js'
import { describe, expect, test } from 'vitest'
import { DocumentCheck, documentShape, operationsOf } from '../testing/api-document.js'
import { openApi } from './openapi.js'
import { operationIds, operations, type Operation } from './operations.js'

const json: unknown = JSON.parse(JSON.stringify(openApi('/tier/v1', '1.2.3')))
const document = documentShape.parse(json)
const check = new DocumentCheck(document)

test('[API4] the document has each operation once, and every reference in it leads somewhere', () => {
  expect([...operationsOf(document).keys()].toSorted()).toEqual(operationIds.toSorted())
  expect(document.servers).toEqual([{ url: '/tier/v1' }])
  const references = [...JSON.stringify(json).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
    ([, name]) => name,
  )
  for (const name of references) expect(document.components.schemas).toHaveProperty([name ?? ''])
  expect(new Set(references)).toEqual(new Set(Object.keys(document.components.schemas)))
  expect(JSON.stringify(json)).not.toMatch(/\$defs|"replacement"|"\$id"/)
})

test('[API4] the guide lists each operation with its method and path', () => {
  const rows = [...readDocument('docs/api-http.md').matchAll(/^\| `(\w+)` \| `([A-Z]+) \/v1\/(\S+)` \|/gm)]
  expect(rows.map(([, id, method, path]) => [id, method, path])).toEqual(
    operationIds.map((id) => [id, operations[id].method, operations[id].path]),
  )
})

describe.each([...operationsOf(document)])('%s', (id, { path, method, operation }) => {
  test('[API4] its parameters are those of its path', () => {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    expect(operation.parameters.filter((one) => one.in === 'path').map(({ name }) => name)).toEqual(inPath)
    for (const { in: where, required } of operation.parameters) expect(required).toBe(where === 'path')
  })

  test('[API4] its examples fit its schemas', () => {
    const bodies = [
      operation.requestBody?.content['application/json'],
      ...Object.values(operation.responses).map((one) => one.content?.['application/json']),
    ]
    for (const body of bodies)
      if (body !== undefined) {
        expect(body.example).toBeDefined()
        expect(check.problemsOf(body.schema, body.example)).toEqual([])
      }
  })

  test('[API11] it takes an Idempotency-Key if it is a POST that acts', () => {
    const takes = operation.parameters.some(({ name }) => name === 'Idempotency-Key')
    expect(takes).toBe(method === 'post' && id !== 'mintToken')
  })

  test('[API8] what it reads, in the schema and in the handler, knows the same bad bodies', () => {
    const own = new Map<string, Operation>(Object.entries(operations)).get(id)
    const schema = operation.requestBody?.content['application/json']?.schema
    if (schema === undefined || own === undefined) return
    const example = { ...Object(own.example) }
    for (const bad of [{ ...example, unknown: 1 }, 1, null, 'text', []]) {
      expect(own.body.safeParse(bad).success, JSON.stringify(bad)).toBe(false)
      expect(check.problemsOf(schema, bad), JSON.stringify(bad)).not.toEqual([])
    }
    expect(own.body.safeParse(example).success).toBe(true)
    expect(operation.requestBody?.required).toBe(!own.body.safeParse({}).success)
  })
})

test.each([
  ['sendToPeer', { data: 1, base64: 'AQID' }],
  ['sendToPeer', {}],
  ['sendToPeer', { base64: '***' }],
  ['sendToPeer', { data: 1, timeoutMs: 30_001 }],
  ['sendToPeers', { to: ['a', 'a'], data: 1 }],
  ['sendToPeers', { to: [], data: 1 }],
  ['sendToPeers', { to: [''], data: 1 }],
  ['disconnectPeer', { code: 4399 }],
  ['disconnectPeer', { code: 4500 }],
  ['disconnectPeer', { banMs: 0 }],
  ['revokeTokens', { jti: 'a', sub: 'b' }],
  ['revokeTokens', {}],
  ['revokeTokens', { jti: 'a', before: 1_796_059_315_000 }],
  ['revokeTokens', { sub: 'a', before: 1_796_059_315 }],
  ['revokeTokens', { jti: 'a', expiresAt: 'tomorrow' }],
  ['mintToken', { sub: 'a', peerage: { admin: true } }],
] as const)('[API8] %s refuses %o, and so does its schema', (id, body) => {
  const schema = operationsOf(document).get(id)?.operation.requestBody?.content['application/json']?.schema
  expect(operations[id].body.safeParse(body).success).toBe(false)
  expect(check.problemsOf(schema ?? {}, body)).not.toEqual([])
})
