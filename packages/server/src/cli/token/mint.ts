import { systemClock } from '@peerage/core'
import { ALGORITHMS, type Algorithm } from '../../access/app-access.js'
import { describeIssue, identitySchema, peerageSchema, type PeerageClaim } from '../../access/claims.js'
import { mintToken, readSigningKey, signingSecret, type SigningKey } from '../../access/signing-key.js'
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
  type MintFlags,
} from './flags.js'

/** What is signed with, and what the configuration wants of a token. */
interface Signing {
  key: SigningKey
  issuer?: string | undefined
  typ?: string | undefined
  lifetimeMs?: number
}

/** Prints a token, and nothing else. */
export function mint(flags: MintFlags, surroundings: Surroundings): Promise<ExitCode> {
  return withFlags(surroundings, async () => {
    const app = appOf(flags)
    const subject = subjectOf(flags)
    const ttlMs = timeOf('--ttl', flags.ttl)
    const peerage = claimOf(flags)
    const signing = await signingOf(flags, surroundings)
    const { key, lifetimeMs = Number.POSITIVE_INFINITY } = signing
    if (ttlMs > lifetimeMs)
      throw new WrongFlags(
        `--ttl: the app takes tokens for at most ${lifetimeMs / 1_000}s (access.token.lifetimeMs)`,
      )
    const issuer = flags.issuer ?? signing.issuer
    const typ = flags.typ ?? signing.typ
    const wanted = {
      app,
      subject,
      ttlMs,
      ...(peerage !== undefined && { peerage }),
      ...(issuer !== undefined && { issuer }),
      ...(typ !== undefined && { typ }),
    }
    const { token } = await mintToken(withKid(key, flags.kid), wanted, systemClock.now())
    surroundings.out(token)
    return 0
  })
}

const withKid = (key: SigningKey, kid: string | undefined): SigningKey =>
  kid === undefined ? key : { ...key, kid }

function subjectOf({ sub }: MintFlags): string {
  const read = identitySchema.safeParse(sub)
  if (read.success) return read.data
  throw new WrongFlags(`--sub: it ${read.error.issues[0]?.message}`)
}

function claimOf({ claim }: MintFlags): PeerageClaim | undefined {
  if (claim === undefined) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(claim)
  } catch {
    throw new WrongFlags(`--claim: it is not JSON, such as '{"rooms":{"names":["lobby"]}}'`)
  }
  const read = peerageSchema.safeParse(parsed)
  if (read.success) return read.data
  throw new WrongFlags(`--claim: its ${describeIssue(read.error.issues[0])}`)
}

async function signingOf(flags: MintFlags, surroundings: Surroundings): Promise<Signing> {
  const { config, secretFile, keyFile } = flags
  const algorithm = algorithmOf(flags)
  const [source, value] = onlyOne({ '--config': config, '--secret-file': secretFile, '--key-file': keyFile })
  switch (source) {
    case '--key-file': {
      const read = await readSigningKey(textOf(source, value, surroundings), algorithm)
      if (!read.ok) throw new WrongFlags(`--key-file: the key in ${value} ${read.problem}`)
      return { key: read.key }
    }
    case '--secret-file':
      return { key: withSecret(secretOf(value, surroundings), algorithm) }
    case '--config': {
      const { keys, issuer, typ, lifetimeMs } = configuredTokens(value, appOf(flags), surroundings)
      if (keys.type !== 'secret')
        throw new WrongFlags(
          '--config: it has only public keys for this app, which cannot sign: use --key-file',
        )
      const key = withSecret(keys.secret, algorithm)
      return { key, issuer: issuer ?? undefined, typ: typ ?? undefined, lifetimeMs }
    }
  }
}

function withSecret(secret: string, algorithm: Algorithm | undefined): SigningKey {
  if (algorithm === undefined || algorithm === 'HS256') return signingSecret(secret)
  throw new WrongFlags(`--alg: ${algorithm} needs a private key: use --key-file`)
}

function algorithmOf({ alg }: MintFlags): Algorithm | undefined {
  if (alg === undefined) return undefined
  const known = ALGORITHMS.find((algorithm) => algorithm === alg)
  if (known !== undefined) return known
  throw new WrongFlags(`--alg: it must be one of ${ALGORITHMS.join(', ')}`)
}
