import { parseName, type App } from '@peerage/protocol'
import { z } from 'zod'
import type { AccessDecision, AdmitRequest } from '../gateway/shared/access.js'
import { describeIssue, grantsSchema, identitySchema } from './claims.js'
import { refusal } from './refusal.js'

/** How long an answer may be used again. */
const CACHE_MOST_MS = 3_600_000
/** The longest time that an answer may let a peer in: 30 days. */
const ENDS_MOST_MS = 2_592_000_000
const DETAIL_LENGTH_MOST = 200
const KEY_LENGTH_MOST = 32

const durations = (most: number) => z.int(`must be a whole number from 0 to ${most}`).min(0).max(most)
const cacheMs = durations(CACHE_MOST_MS).exactOptional()
const name = z.string('must be a string').transform((input, context) => {
  const parsed = parseName(input)
  if (parsed.ok) return parsed.value
  context.issues.push({ code: 'custom', input, message: `must be a name: ${parsed.problem}` })
  return z.NEVER
})

// Unknown keys are refused, because a misspelled grant would count as an absent one, which allows everything.
const schema = z.discriminatedUnion('allow', [
  z.strictObject({
    allow: z.literal(true),
    identity: identitySchema.exactOptional(),
    name: name.exactOptional(),
    grants: grantsSchema.exactOptional(),
    endsInMs: durations(ENDS_MOST_MS).min(1).exactOptional(),
    cacheMs,
  }),
  z.strictObject({
    allow: z.literal(false),
    detail: z
      .string('must be a string')
      .max(DETAIL_LENGTH_MOST, `must be at most ${DETAIL_LENGTH_MOST} characters`)
      .exactOptional(),
    cacheMs,
  }),
])

export interface WebhookAnswer {
  decision: AccessDecision
  /** How long the decision may be used for equal requests. */
  cacheMs: number
}

/** Reads the body of an answer with status 200. `now` is the time of day (Unix ms). */
export function readWebhookAnswer(
  text: string,
  { app, request, now }: { app: App; request: AdmitRequest; now: number },
): { ok: true; answer: WebhookAnswer } | { ok: false; problem: string } {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { ok: false, problem: 'answered with something that is not JSON' }
  }
  const read = schema.safeParse(parsed)
  if (!read.success)
    return { ok: false, problem: `answered with JSON whose ${problemOf(read.error.issues[0])}` }
  const said = read.data
  if (!said.allow) {
    const decision: AccessDecision =
      said.detail === undefined
        ? refusal('forbidden', 'the access webhook of this app refuses this peer')
        : { ...refusal('forbidden', said.detail), isForeignText: true }
    return { ok: true, answer: { decision, cacheMs: said.cacheMs ?? 0 } }
  }
  const { identity, name, grants, endsInMs, cacheMs = 0 } = said
  if (name !== undefined && request.isNameMade !== true && name !== request.name)
    return {
      ok: true,
      answer: { decision: refusal('forbidden', 'the access webhook allows another name only'), cacheMs },
    }
  const decision: AccessDecision = {
    ok: true,
    app,
    ...grants,
    ...(identity !== undefined && { identity }),
    ...(name !== undefined && { name }),
    ...(endsInMs !== undefined && { endsAt: now + endsInMs }),
  }
  return { ok: true, answer: { decision, cacheMs: Math.min(cacheMs, endsInMs ?? cacheMs) } }
}

/** The log quotes the key: it comes from the operator's own program. */
function problemOf(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code !== 'unrecognized_keys') return describeIssue(issue)
  const where = issue.path.length === 0 ? 'top level' : issue.path.map(String).join('.')
  const key = JSON.stringify(issue.keys[0]?.slice(0, KEY_LENGTH_MOST))
  return `${where} has an unknown key ${key}; docs/access.md lists the keys of an answer`
}
