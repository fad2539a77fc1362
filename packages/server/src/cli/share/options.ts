import { reasonOf } from '../../lib/reason.js'
import type { Surroundings } from '../surroundings.js'
import type { Asker } from './ask.js'
import { pageOf } from './connection.js'

const SERVER_DEFAULT = 'http://127.0.0.1:9000'

/** The flags that both commands take. */
export interface CommonFlags {
  server?: string
  token?: string
  /** Ask for the password. It is no value of the flag, because others may see the command line of a process. */
  password?: boolean
  passwordFile?: string
  json?: boolean
}

/** The flags of `send`. */
export interface SendFlags extends CommonFlags {
  text?: string
  once?: boolean
  expires?: string
  code: boolean
  qr: boolean
}

/** The flags of `receive`. */
export interface ReceiveFlags extends CommonFlags {
  to: string
  yes?: boolean
  overwrite?: boolean
}

/** The command line is wrong. The message says how. */
export class WrongUsage extends Error {
  override name = 'WrongUsage'
}

/** The URL of the page of the server: of the flag, else of PEERAGE_SERVER, else of this machine. */
export function serverOf({ server }: CommonFlags, { env }: Surroundings): string {
  const given = server ?? (env['PEERAGE_SERVER'] || SERVER_DEFAULT)
  const page = pageOf(given)
  if (page !== undefined) return page
  const source = server === undefined ? 'PEERAGE_SERVER' : '--server'
  throw new WrongUsage(`${source}: ${given} is no address of a server, such as https://peers.example`)
}

export const tokenOf = ({ token }: CommonFlags, { env }: Surroundings): string | undefined =>
  token ?? (env['PEERAGE_TOKEN'] || undefined)

/** The password of the flags or of PEERAGE_PASSWORD, or asked for. Undefined: none was given. */
export async function passwordOf(
  flags: CommonFlags,
  { env, readFile }: Surroundings,
  asker: Asker | undefined,
  isNew = false,
): Promise<string | undefined> {
  const { password, passwordFile } = flags
  if (password === true && passwordFile !== undefined)
    throw new WrongUsage('--password and --password-file are both given')
  if (passwordFile !== undefined) return notEmpty(firstLine(passwordFile, readFile), '--password-file')
  if (password !== true) return env['PEERAGE_PASSWORD'] || undefined
  if (asker === undefined)
    throw new WrongUsage('--password asks at a terminal, and there is none: use --password-file')
  const said = notEmpty(await asker.ask('Password: ', { isHidden: true }), 'the password')
  if (isNew && (await asker.ask('The same once more: ', { isHidden: true })) !== said)
    throw new WrongUsage('the two passwords differ')
  return said
}

function firstLine(file: string, readFile: (path: string) => string): string {
  try {
    return readFile(file).split(/\r?\n/, 1)[0] ?? ''
  } catch (error) {
    throw new WrongUsage(`--password-file: ${file} cannot be read: ${reasonOf(error)}`)
  }
}

function notEmpty(text: string | undefined, what: string): string {
  if (text === undefined || text === '') throw new WrongUsage(`${what} is empty`)
  return text
}
