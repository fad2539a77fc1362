import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'vitest'
import { z } from 'zod'

// The OpenAPI document as a reader of it sees it: for tests that compare answers with it.

/** An answer of the API. */
export interface Called {
  status: number
  headers: Headers
  text: string
  json: unknown
}

const schema = z.looseObject({})
const content = z.record(z.string(), z.looseObject({ schema, example: z.unknown().optional() }))
const operation = z.object({
  operationId: z.string(),
  tags: z.array(z.string()).min(1),
  summary: z.string().min(1),
  description: z.string().optional(),
  parameters: z
    .array(
      z.strictObject({
        name: z.string(),
        in: z.enum(['path', 'query', 'header']),
        required: z.boolean(),
        description: z.string().optional(),
        schema,
      }),
    )
    .default([]),
  requestBody: z.strictObject({ required: z.boolean(), content }).optional(),
  responses: z.record(
    z.string().regex(/^[2-5]\d\d$/),
    z.strictObject({
      description: z.string().min(1),
      headers: z.record(z.string(), z.looseObject({ schema })).optional(),
      content: content.optional(),
    }),
  ),
})

/** What OpenAPI 3.1 asks of a document, as far as ours goes. */
export const documentShape = z.strictObject({
  openapi: z.literal('3.1.0'),
  jsonSchemaDialect: z.string(),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  servers: z.array(z.strictObject({ url: z.string() })),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  tags: z.array(z.strictObject({ name: z.string() })),
  paths: z.record(
    z.string().startsWith('/'),
    z.partialRecord(z.enum(['get', 'post', 'put', 'delete']), operation),
  ),
  components: z.strictObject({
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.string() })),
    schemas: z.record(z.string(), schema),
  }),
})

export type Document = z.output<typeof documentShape>

export interface DescribedOperation {
  path: string
  method: string
  operation: z.output<typeof operation>
}

export function operationsOf(document: Document): Map<string, DescribedOperation> {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, one]) =>
      one === undefined ? [] : [[one.operationId, { path, method, operation: one }] as const],
    ),
  )
  return new Map(all)
}

/** Checks values against the schemas of a document. Answers may have no field that the document does not have. */
export class DocumentCheck {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false })
  readonly #operations: Map<string, DescribedOperation>

  constructor(document: Document) {
    this.#operations = operationsOf(document)
    this.#ajv.addSchema({ $id: 'https://api.test/document', ...closed(document) })
  }

  #find(method: string, path: string): DescribedOperation | undefined {
    const [at = ''] = path.split('?')
    const fitting = [...this.#operations.values()].filter(
      (one) => one.method === method.toLowerCase() && fits(one.path, at),
    )
    return fitting.find((one) => one.path === at) ?? fitting[0]
  }

  /** What is wrong with a value. */
  problemsOf(ofSchema: Record<string, unknown>, value: unknown): string[] {
    const { $ref, ...rest } = ofSchema
    const absolute =
      typeof $ref === 'string' ? { $ref: `https://api.test/document${$ref}` } : rebased(closed(rest))
    const check = this.#ajv.compile(absolute)
    if (check(value)) return []
    return (check.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    )
  }

  /** Expects that an answer is one that the document describes for the operation, if there is one at this path. */
  expectDescribed(method: string, path: string, { status, headers, json }: Called): void {
    const own = this.#find(method, path)
    if (own === undefined) return
    const { operationId, responses } = own.operation
    const found = responses[status]
    expect(found, `${operationId} may answer ${status}`).toBeDefined()
    const type = headers.get('Content-Type')
    if (type === null) {
      expect(found?.content).toBeUndefined()
      return
    }
    const described = found?.content?.[type]
    expect(described, `${operationId} ${status} is ${type}`).toBeDefined()
    expect(this.problemsOf(described?.schema ?? {}, json)).toEqual([])
  }
}

/** Whether a path fits a path of the document. */
function fits(wanted: string, given: string): boolean {
  const parts = given.split('/')
  const all = wanted.split('/')
  return (
    all.length === parts.length &&
    all.every((one, i) => (one.startsWith('{') ? parts[i] !== '' : one === parts[i]))
  )
}

/** Allows no other properties in objects that do not say whether they have others. */
function closed(value: unknown): Record<string, unknown> {
  const close = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(close)
    if (typeof one !== 'object' || one === null) return one
    const made = Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, close(inner)]))
    return 'properties' in made && !('additionalProperties' in made) && made['type'] === 'object'
      ? { ...made, additionalProperties: false }
      : made
  }
  const made = close(value)
  return typeof made === 'object' && made !== null ? { ...made } : {}
}

function rebased(value: Record<string, unknown>): Record<string, unknown> {
  const text = JSON.stringify(value).replaceAll('"#/components/', '"https://api.test/document#/components/')
  return schema.parse(JSON.parse(text))
}
