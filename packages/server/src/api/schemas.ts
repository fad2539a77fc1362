import { limits as wire, parseName, parseRoom } from '@peerage/protocol'
import { z } from 'zod'
import {
  BAN_MOST_MS,
  ban,
  banKind,
  closed,
  closing,
  grants,
  identity,
  revocation,
  time,
} from './access-schemas.js'
import { problemCodes } from './problems.js'

// The shapes of the API. Handlers read requests with them, and the OpenAPI document is generated from them.

/** The longest time that a send may wait for its acknowledgement. */
export const SEND_MOST_MS = 30_000
export const SEND_DEFAULT_MS = 10_000
/** The recipients of one batch. */
export const BATCH_MOST = 100
const PAGE_MOST = 1_000
const PAGE_DEFAULT = 100
const CURSOR_MOST = 512
const IDENTITY_MOST = 256
const SERVER_ADDRESS_MOST = 256
const SERVER_STATUS_MOST = 64

/** A text with a grammar of the protocol: the parser decides, and the schema says what JSON Schema can say. */
function nameLike<T extends string>(
  parse: (text: string) => { ok: true; value: T } | { ok: false; problem: string },
  about: string,
) {
  return z
    .string()
    .min(1)
    .max(128)
    .transform((text, context) => {
      const parsed = parse(text)
      if (parsed.ok) return parsed.value
      context.addIssue({ code: 'custom', message: parsed.problem })
      return z.NEVER
    })
    .describe(about)
}

const name = nameLike(
  (text) => parseName(text),
  'The name of a peer: 1 to 128 bytes of UTF-8, printable, compared byte for byte.',
)
const room = nameLike((text) => parseRoom(text), 'The name of a room, with the grammar of names.')
const cursor = z
  .string()
  .min(1)
  .max(CURSOR_MOST)
  .describe('`next` of the page before. Without it, the first page.')
const next = z
  .string()
  .exactOptional()
  .describe(
    'The cursor of the next page. Absent: this is the last page. A page may be short, even empty, and have a next one.',
  )

/** A whole number in a query. */
const count = (least: number, most: number, preset: number, about: string) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(least).max(most))
    .default(preset)
    .meta({
      description: about,
      replacement: { type: 'integer', minimum: least, maximum: most, default: preset },
    })

const page = {
  limit: count(1, PAGE_MOST, PAGE_DEFAULT, 'The most entries of the page.'),
  cursor: cursor.optional(),
}
const roomPage = {
  limit: count(1, wire.membersPerPage, wire.membersPerPage, 'The most members of the page.'),
  cursor: cursor.optional(),
}

const state = z.enum(['online', 'away'])

const peer = z
  .object({
    name,
    state: state.describe(
      '`away`: the connection was lost, and the name is kept for its peer during the grace.',
    ),
    since: time('When the peer claimed the name').describe(
      'When the peer claimed the name, in Unix milliseconds. Another value means another holder.',
    ),
    node: z.string().exactOptional().describe('The id of the node that the peer is connected to, or was.'),
  })
  .meta({ id: 'Peer' })

/** What is sent: a JSON value or bytes, never both. */
const content = {
  data: z.unknown().optional().describe('Any JSON value. The recipient gets it as it is.'),
  base64: z
    .base64()
    .optional()
    .describe('Bytes in base64 (RFC 4648 §4), instead of `data`. The recipient gets a `Uint8Array`.'),
}
const oneContent = {
  check: (body: { data?: unknown; base64?: string | undefined }): boolean =>
    (body.data === undefined) !== (body.base64 === undefined),
  problem: { message: 'must have either data or base64', path: ['data'] },
  schema: { oneOf: [{ required: ['data'] }, { required: ['base64'] }] },
}
const timeoutMs = z
  .int()
  .min(1)
  .max(SEND_MOST_MS)
  .default(SEND_DEFAULT_MS)
  .describe('How long to wait for the acknowledgement, in milliseconds.')

const serverId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'must be 1 to 64 characters of A-Z, a-z, 0-9, ., _ and -, and begin with a letter or digit',
  )
  .describe('An id that the application server chooses.')
const address = z
  .string()
  .min(1)
  .max(SERVER_ADDRESS_MOST)
  .describe('Where the server is reached, such as a URL.')
const serverStatus = z.string().min(1).max(SERVER_STATUS_MOST).describe('A word of your choice.')
const server = z
  .object({
    id: serverId,
    address,
    status: serverStatus,
  })
  .meta({ id: 'Server' })

const result = z
  .enum(['delivered', 'away', 'unavailable', 'timeout'])
  .describe(
    '`delivered`: the SDK of the recipient has handed the message to its application. `unavailable`: nobody holds the name. `away`: no acknowledgement came in time, and the recipient is not connected. `timeout`: no acknowledgement came in time. After `away` and `timeout` the message may still have arrived.',
  )

export const problem = z
  .object({
    type: z.string().describe('`urn:peerage:problem:` and the code.'),
    title: z.string(),
    status: z.int(),
    code: z.enum(problemCodes).describe('What programs look at.'),
    detail: z.string().describe('What was wrong and what to do.'),
    errors: z
      .array(z.strictObject({ at: z.string(), detail: z.string() }))
      .optional()
      .describe('Each wrong value of the request.'),
  })
  .meta({ id: 'Problem' })

export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters')

export const shapes = {
  none: z.strictObject({}),
  nothing: z.undefined(),
  name: z.strictObject({ name }),
  room: z.strictObject({ room }),
  identity: z.strictObject({ sub: identity }),
  serverId: z.strictObject({ id: serverId }),
  ban: z.strictObject({ kind: banKind, value: z.string().min(1).max(IDENTITY_MOST) }),
  peersPage: z.strictObject({ ...page, state: state.optional().describe('Only peers in this state.') }),
  page: z.strictObject(page),
  membersPage: z.strictObject(roomPage),

  message: z
    .strictObject({ ...content, timeoutMs })
    .refine(oneContent.check, oneContent.problem)
    .meta({ id: 'Message', schema: oneContent.schema }),
  batch: z
    .strictObject({
      to: z
        .array(name)
        .min(1)
        .max(BATCH_MOST)
        .refine((names) => new Set(names).size === names.length, 'must not name a peer twice')
        .meta({ schema: { uniqueItems: true } })
        .describe('The names of the recipients.'),
      ...content,
      timeoutMs,
    })
    .refine(oneContent.check, oneContent.problem)
    .meta({ id: 'Batch', schema: oneContent.schema }),
  broadcast: z
    .strictObject(content)
    .refine(oneContent.check, oneContent.problem)
    .meta({ id: 'Broadcast', schema: oneContent.schema }),
  disconnect: z.strictObject(closing).meta({ id: 'Disconnect' }),
  mint: z
    .strictObject({
      sub: identity,
      ttlMs: z
        .int()
        .min(1_000)
        .max(BAN_MOST_MS)
        .optional()
        .describe('How long the token is valid. Default: an hour, or less if the app takes no such tokens.'),
      peerage: grants.optional().describe('What else the token grants: its claim `peerage`.'),
    })
    .meta({ id: 'Mint' }),
  revoke: revocation,
  register: z.strictObject({ address, status: serverStatus.default('up') }).meta({ id: 'Register' }),

  peer,
  peers: z.object({ peers: z.array(peer), next }).meta({ id: 'Peers' }),
  count: z.object({ count: z.int().min(0) }).meta({ id: 'Count' }),
  sent: z.object({ result }).meta({ id: 'Sent' }),
  batchSent: z
    .object({
      results: z.array(
        z.object({
          name,
          result: z
            .enum([...result.options, 'incompatible', 'rate-limited', 'store-unavailable'])
            .describe('As for one recipient, or the code of the problem that one recipient would have had.'),
        }),
      ),
    })
    .meta({ id: 'BatchSent' }),
  accepted: z
    .object({
      result: z.literal('accepted'),
      peers: z.int().min(0).describe('How many names the app had when the broadcast began.'),
    })
    .meta({ id: 'Accepted' }),
  said: z.object({ result: z.literal('sent') }).meta({ id: 'Said' }),
  members: z
    .object({ members: z.array(peer.omit({ node: true }).meta({ id: 'Member' })), next })
    .meta({ id: 'Members' }),
  closed,
  bans: z.object({ bans: z.array(ban), next }).meta({ id: 'Bans' }),
  minted: z
    .object({
      token: z.string(),
      jti: z.string().describe('By this the token can be revoked.'),
      expiresAt: time('When the token ends'),
    })
    .meta({ id: 'Minted' }),
  revoked: closed,
  nodes: z
    .object({
      nodes: z.array(z.object({ id: z.string(), state: z.enum(['live', 'dead']) })),
    })
    .meta({ id: 'Nodes' }),
  server,
  registered: server
    .extend({
      ttlMs: z.int().describe('The registration ends after so many milliseconds, unless it is renewed.'),
    })
    .meta({ id: 'Registered' }),
  servers: z.object({ servers: z.array(server), next }).meta({ id: 'Servers' }),
}
