import { parseApp, type App } from '@peerage/protocol'
import type { AccessSettings, TokenSettings } from '../../access/app-access.js'
import { listedApps, settingsOf } from '../../config/app-settings.js'
import { nodeDefinition } from '../../config/check.js'
import { checkAccessOf } from '../../config/check-apps.js'
import type { SettingProblem } from '../../config/load.js'
import type { Config } from '../../config/schema.js'
import { reasonOf } from '../../lib/reason.js'
import { loadFile, printProblems } from '../configured.js'
import { parseDuration } from '../share/words.js'
import type { ExitCode, Surroundings } from '../surroundings.js'

interface CommonFlags {
  app: string
  config?: string
  secretFile?: string
  keyFile?: string
  issuer?: string
  typ?: string
}

export interface MintFlags extends CommonFlags {
  sub: string
  ttl: string
  claim?: string
  alg?: string
  kid?: string
}

export interface VerifyFlags extends CommonFlags {
  jwks?: string
  name?: string
  lifetime: string
}

/** The command line is wrong. The message says how. */
export class WrongFlags extends Error {
  override readonly name = 'WrongFlags'
}

/** Runs a command. If its flags are wrong, prints why. */
export async function withFlags({ err }: Surroundings, act: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof WrongFlags)) throw error
    if (error.message !== '') err(`peerage: ${error.message}`)
    return 2
  }
}

export function appOf({ app }: CommonFlags): App {
  const parsed = parseApp(app)
  if (parsed.ok) return parsed.value
  throw new WrongFlags(`--app: ${parsed.problem}`)
}

export function timeOf(flag: string, text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new WrongFlags(`${flag}: ${text} is no time such as 90s, 10m, 2h or 1d`)
}

/** The only one of several flags that is given, with its value. */
export function onlyOne<Flag extends string>(
  given: Readonly<Record<Flag, string | undefined>>,
): [Flag, string] {
  const flags = Object.keys(given) as Flag[]
  const set = flags.flatMap((flag): [Flag, string][] => {
    const value = given[flag]
    return value === undefined ? [] : [[flag, value]]
  })
  const [only, more] = set
  if (only === undefined) throw new WrongFlags(`give one of ${flags.join(', ')}`)
  if (more !== undefined) throw new WrongFlags(`${only[0]} and ${more[0]} are both given`)
  return only
}

export function textOf(flag: string, file: string, { readFile }: Surroundings): string {
  try {
    return readFile(file)
  } catch (error) {
    throw new WrongFlags(`${flag}: ${file} cannot be read: ${reasonOf(error)}`)
  }
}

/** The least bytes of a secret for HS256 (RFC 7518 §3.2). */
const SECRET_BYTES_LEAST = 32

export function secretOf(file: string, surroundings: Surroundings): string {
  // Editors and `echo` end a file with a line break, which is not part of the secret.
  const secret = textOf('--secret-file', file, surroundings).replace(/\r?\n$/, '')
  if (Buffer.byteLength(secret) >= SECRET_BYTES_LEAST) return secret
  throw new WrongFlags(`--secret-file: a secret for HS256 has at least ${SECRET_BYTES_LEAST} bytes`)
}

/** How the app checks tokens, as a configuration says. */
export function configuredTokens(file: string, app: App, surroundings: Surroundings): TokenSettings {
  // The secrets of other apps may be out of reach on the machine of a developer.
  const isWanted = (path: string): boolean =>
    path === 'defaultApp' || path.startsWith('access.') || path.startsWith(`apps.${app}.access.`)
  const check = (config: Config): SettingProblem[] => checkAccessOf(config, app)
  const loaded = loadFile(file, { ...nodeDefinition, check }, { surroundings, isWanted })
  if (!loaded.ok) {
    printProblems(loaded.problems, surroundings.err)
    throw new WrongFlags('')
  }
  const listed = listedApps(loaded.config)
  if (listed.length > 0 && !listed.includes(app))
    throw new WrongFlags(`--app: ${file} has no app ${app}; it has ${listed.join(', ')}`)
  const access: AccessSettings = settingsOf(loaded.config, app).access
  if (access.mode === 'token') return access.token
  throw new WrongFlags(`--app: the app ${app} takes no tokens: in ${file} its access.mode is ${access.mode}`)
}
