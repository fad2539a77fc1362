import { z } from 'zod'
import { operationIds, operations, type Operation } from './operations.js'
import { problemCodes, statusOf, titleOf, type ProblemCode } from './problems.js'
import { idempotencyKey, problem } from './schemas.js'

type Json = Record<string, unknown>

/** The problems that every operation can have. */
const COMMON: readonly ProblemCode[] = ['bad-request', 'unauthorized', 'rate-limited', 'internal']
const WITH_BODY: readonly ProblemCode[] = ['request-timeout', 'too-large', 'unsupported-media-type']
const ONCE: readonly ProblemCode[] = ['in-progress', 'idempotency-mismatch', 'store-unavailable']

const ABOUT = `The API of application servers: list the peers of an app, send them messages, disconnect and ban them.

Every request needs a key of the app: \`Authorization: Bearer KEY\`, with a key of the setting \`api.keys\`. A key sees only its own app.

Errors are problems (RFC 9457): look at \`code\`, and show \`detail\` to a developer. After 429 and 503 wait as \`Retry-After\` says, then send the request again.

An operation that acts takes an \`Idempotency-Key\`. A second request with the same key within 24 hours gets the first answer again, with the header \`Idempotency-Replayed: true\`. If the node dies before it has answered, a second request may act again.`

/** The OpenAPI 3.1 document of the API, which is at the path `base` of this server, such as `/v1`. */
export function openApi(base: string, version: string): Json {
  const schemas: Json = {}
  const paths: Record<string, Json> = {}
  for (const id of operationIds) {
    const operation: Operation = operations[id]
    const path = `/${operation.path}`
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(id, operation, schemas) }
  }
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Peerage API',
      version,
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: base }],
    security: [{ key: [] }],
    tags: [...new Set(operationIds.map((id) => operations[id].tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'A key of `api.keys` of the app.' },
      },
      schemas,
    },
  }
}

function describe(id: string, operation: Operation, schemas: Json): Json {
  const { tag, summary, description, body, bodyBytes, answer, example, isOnce, problems } = operation
  const parameters = [
    ...parametersOf('path', operation.params, schemas),
    ...parametersOf('query', operation.query, schemas),
    ...(isOnce ? [idempotencyParameter(schemas)] : []),
  ]
  const hasBody = bodyBytes > 0
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(hasBody
      ? {
          requestBody: {
            required: !body.safeParse({}).success,
            content: { 'application/json': { schema: schemaOf(body, schemas), example } },
          },
        }
      : {}),
    responses: {
      [answer.status]: answerOf(operation, schemas),
      ...problemsOf(
        [...COMMON, ...(hasBody ? WITH_BODY : []), ...(isOnce ? ONCE : []), ...problems],
        operation,
        schemas,
      ),
    },
  }
}

function answerOf({ answer, isOnce }: Operation, schemas: Json): Json {
  if (answer.status === 204) return { description: 'Done.' }
  return {
    description: 'Done.',
    ...(isOnce ? { headers: { 'Idempotency-Replayed': REPLAYED } } : {}),
    content: { 'application/json': { schema: schemaOf(answer.schema, schemas), example: answer.example } },
  }
}

const REPLAYED = {
  description:
    '`true`: an earlier request with this Idempotency-Key was carried out, and this is its answer.',
  schema: { type: 'string', const: 'true' },
}
const RETRY_AFTER = { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 0 } }

/** One response for each status, which names the codes that it stands for. */
function problemsOf(codes: readonly ProblemCode[], { outage }: Operation, schemas: Json): Json {
  const meaningOf = (code: ProblemCode): string =>
    code === 'store-unavailable' ? `${titleOf(code)}: ${outage}` : titleOf(code)
  const content = { 'application/problem+json': { schema: schemaOf(problem, schemas) } }
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of problemCodes)
    if (codes.includes(code)) byStatus.set(statusOf(code), [...(byStatus.get(statusOf(code)) ?? []), code])
  return Object.fromEntries(
    Array.from(byStatus, ([status, all]) => [
      status,
      {
        description: all.map((code) => `\`${code}\`: ${meaningOf(code)}.`).join(' '),
        ...(status === 429 || status === 503 ? { headers: { 'Retry-After': RETRY_AFTER } } : {}),
        content,
      },
    ]),
  )
}

function parametersOf(where: 'path' | 'query', shape: z.ZodType, schemas: Json): Json[] {
  const { properties, required } = parametersShape.parse(schemaOf(shape, schemas))
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: where,
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }))
}

const parametersShape = z.object({
  properties: z.record(z.string(), z.looseObject({ description: z.string().optional() })).default({}),
  required: z.array(z.string()).default([]),
})

function idempotencyParameter(schemas: Json): Json {
  return {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'Keeps the operation from acting twice. Choose a random text for each request, such as a UUID.',
    schema: schemaOf(idempotencyKey, schemas),
  }
}

/** The JSON Schema of a shape. Shapes with an id are put into `schemas`, and referred to. */
function schemaOf(shape: z.ZodType, schemas: Json): Json {
  const made: unknown = z.toJSONSchema(shape, {
    io: 'input',
    override: ({ jsonSchema }) => adapt(jsonSchema),
  })
  const {
    $schema: _,
    $defs = {},
    ...schema
  } = z
    .looseObject({ $defs: z.record(z.string(), z.unknown()).optional() })
    .parse(JSON.parse(JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/')))
  Object.assign(schemas, $defs)
  return schema
}

/** What a shape says in `meta`, because zod cannot say it: `schema` is added, and `replacement` stands for all of it. */
function adapt(json: Json): void {
  const { schema, replacement, description } = json
  if (replacement !== undefined) {
    for (const key of Object.keys(json)) delete json[key]
    Object.assign(json, replacement, { description })
  }
  if (schema !== undefined) {
    delete json['schema']
    Object.assign(json, schema)
  }
}
