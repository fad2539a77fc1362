import { systemClock } from '@peerage/core'
import { parseName, type App } from '@peerage/protocol'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { ALGORITHMS, type Algorithm, type TokenSettings } from '../../access/app-access.js'
import { createOutbound } from '../../access/outbound.js'
import { tokenAccess } from '../../access/token-access.js'
import { readPublicKey } from '../../access/verification-key.js'
import type { AccessDecision, AdmitRequest } from '../../gateway/shared/access.js'
import { reasonOf } from '../../lib/reason.js'
import type { ExitCode, Surroundings } from '../surroundings.js'
import {
  appOf,
  configuredTokens,
  onlyOne,
  secretOf,
  textOf,
  timeOf,
  withFlags,
  WrongFlags,
  type VerifyFlags,
} from './flags.js'

const ASYMMETRIC = ALGORITHMS.filter((algorithm) => algorithm !== 'HS256')
/** No token is longer than this. */
const INPUT_LENGTH_MOST = 65_536

/** Prints header and claims of a token as JSON on standard output, and on standard error what a node says to it. */
export function verify(given: string, flags: VerifyFlags, surroundings: Surroundings): Promise<ExitCode> {
  return withFlags(surroundings, async () => {
    const app = appOf(flags)
    const settings = settingsFor(app, flags, surroundings)
    const request = requestFor(app, flags)
    const token = given === '-' ? await readInput(surroundings) : given
    const printed = readable(token)
    if (printed !== undefined) surroundings.out(printed)
    const decision = await ask(app, { settings, request: { ...request, token } }, surroundings)
    surroundings.err(`peerage: ${verdict(decision)}`)
    return decision.ok ? 0 : 1
  })
}

function requestFor(app: App, { name }: VerifyFlags): AdmitRequest {
  const request: AdmitRequest = { app, isNameMade: false, wire: 'native', address: 'unknown' }
  if (name === undefined) return request
  const parsed = parseName(name)
  if (!parsed.ok) throw new WrongFlags(`--name: ${parsed.problem}`)
  return { ...request, name: parsed.value }
}

interface Question {
  settings: TokenSettings
  request: AdmitRequest
}

async function ask(
  app: App,
  { settings, request }: Question,
  { err }: Surroundings,
): Promise<AccessDecision> {
  const outbound = createOutbound({ clock: systemClock })
  const onError = (error: unknown): void => err(`peerage: ${reasonOf(error)}`)
  const access = tokenAccess(app, settings, {
    clock: systemClock,
    outbound,
    onError,
  })
  try {
    return await access.admit(request)
  } finally {
    access.stop()
    outbound.stop()
  }
}

function verdict(decision: AccessDecision): string {
  if (!decision.ok) return `refused (${decision.code}): ${decision.detail}`
  const { identity, endsAt } = decision
  const ends = endsAt === undefined ? '' : `, until ${new Date(endsAt).toISOString()}`
  return `the token is good: it is of ${JSON.stringify(identity)}${ends}; bans and revocations are not looked up`
}

/** Header and claims, whether they are true or not. Undefined if this is no token at all. */
function readable(token: string): string | undefined {
  try {
    return JSON.stringify({ header: decodeProtectedHeader(token), claims: decodeJwt(token) }, undefined, 2)
  } catch {
    return undefined
  }
}

function settingsFor(app: App, flags: VerifyFlags, surroundings: Surroundings): TokenSettings {
  const { config, secretFile, keyFile, jwks, issuer, typ } = flags
  const [source, value] = onlyOne({
    '--config': config,
    '--secret-file': secretFile,
    '--key-file': keyFile,
    '--jwks': jwks,
  })
  const rules = { issuer: issuer ?? null, typ: typ ?? null, lifetimeMs: timeOf('--lifetime', flags.lifetime) }
  switch (source) {
    case '--config':
      return {
        ...configuredTokens(value, app, surroundings),
        ...(issuer !== undefined && { issuer }),
        ...(typ !== undefined && { typ }),
      }
    case '--secret-file': {
      const secret = secretOf(value, surroundings)
      return { ...rules, algorithms: ['HS256'], keys: { type: 'secret', secret, previousSecret: null } }
    }
    case '--key-file': {
      const pem = textOf(source, value, surroundings)
      return { ...rules, algorithms: algorithmsOf(pem, value), keys: { type: 'public-key', pem } }
    }
    case '--jwks':
      return {
        ...rules,
        algorithms: ASYMMETRIC,
        keys: { type: 'jwks', url: urlOf(value), allowPrivate: true },
      }
  }
}

function algorithmsOf(pem: string, file: string): readonly Algorithm[] {
  const read = readPublicKey(pem, [])
  if (read.ok) return read.key.algorithms
  throw new WrongFlags(`--key-file: ${file} ${read.problem}`)
}

function urlOf(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text
  throw new WrongFlags(`--jwks: ${text} is not a URL such as https://id.example/keys.json`)
}

async function readInput({ streams }: Surroundings): Promise<string> {
  let text = ''
  for await (const chunk of streams.stdin) {
    text += String(chunk)
    if (text.length > INPUT_LENGTH_MOST) throw new WrongFlags('standard input is too long for a token')
  }
  return text.trim()
}
