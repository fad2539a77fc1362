import { isIP } from 'node:net'
import { formatIceUrl, parseApp, parseHostPort, parseIceUrl, type App } from '@peerage/protocol'
import { z } from 'zod'
import { problemOfHost } from './hosts.js'

/** What the loader, the CLI and the documentation know of a setting beyond its type. */
export interface Setting {
  /** One line for `--help` and the README. */
  about: string
  /** Where the flag is not simply the path: `redis.url` is `--redis`, and so `PEERAGE_REDIS`. */
  flag?: string
  /** Redacted wherever it is shown, and readable from the file that `PEERAGE_…_FILE` names. */
  secret?: true
}

/** Every schema that is registered here is one setting; what is not is a section. */
export const settings = z.registry<Setting>()

/** A whole number; 0 often means "no limit", and then `about` says so. */
export function whole(min: number, max: number): z.ZodNumber {
  const error = `must be a whole number from ${min} to ${max}`
  return z.number(error).int(error).min(min, error).max(max, error)
}

export const port = whole(0, 65_535)
/** A day: a longer time is a mistaken unit. */
export const milliseconds = whole(1, 86_400_000)
export const flag = z.boolean('must be true or false')
export const text = z.string('must be a string').min(1, 'must not be empty')

export function oneOf<const T extends readonly [string, ...string[]]>(
  ...values: T
): z.ZodEnum<{ [K in T[number]]: K }> {
  return z.enum(values, `must be one of ${values.join(', ')}`)
}

export function listOf<T extends z.ZodType>(item: T): z.ZodArray<T> {
  return z.array(item, 'must be a list')
}

const APP_RULE = 'must be an app: 1 to 32 characters of a-z, 0-9 and -'
export const app: z.ZodType<App, string> = z.string(APP_RULE).transform((input, context): App => {
  const parsed = parseApp(input)
  if (parsed.ok) return parsed.value
  context.issues.push({ code: 'custom', input, message: APP_RULE })
  return z.NEVER
})

/** RFC 6454 §6.2: what a browser sends as Origin, byte for byte. */
export const origin = text.superRefine((input, context) => {
  const problem = problemOfOrigin(input)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const ORIGIN_RULE =
  'must be an exact origin such as https://app.example, http://localhost:3000 or capacitor://localhost: scheme, host and port only'
/** Whose pages open sockets: the web's, those of apps in a shell, and those of extensions. */
const SCHEMES = [
  'http',
  'https',
  'capacitor',
  'ionic',
  'tauri',
  'app',
  'file',
  'vscode-webview',
  'chrome-extension',
  'moz-extension',
  'safari-web-extension',
]
/** Chromium says this of pages that were opened from a file, in a WebSocket's handshake. */
const FILE_ORIGIN = 'file://'

function problemOfOrigin(input: string): string | undefined {
  if (input === 'null')
    return 'must not be null: browsers say it of sandboxed frames, of files and of much else, so it names nobody. Serve the page from an origin of its own, or leave origins empty and set access.key'
  if (input.includes('*'))
    return `${ORIGIN_RULE}; * stands for nothing here. Name each, or leave the list empty for all`
  if (!URL.canParse(input)) return ORIGIN_RULE
  const url = new URL(input)
  // A page of https opens a socket of wss, and its origin is still https.
  const scheme = url.protocol.slice(0, -1).replace(/^ws(?=s?$)/, 'http')
  if (!SCHEMES.includes(scheme) && input.includes('://'))
    return `${ORIGIN_RULE}; no page of ${scheme}: connects: name ${SCHEMES.join(', ')}`
  const written = scheme === 'file' ? FILE_ORIGIN : url.host === '' ? undefined : `${scheme}://${url.host}`
  if (written === input) return undefined
  return written === undefined ? ORIGIN_RULE : `${ORIGIN_RULE}; browsers say ${written}`
}

export const network = text.refine(
  (input) => isIP(input) !== 0 || isCidr(input),
  'must be an address or a network such as 10.0.0.0/8 or fd00::/8',
)

function isCidr(input: string): boolean {
  const parts = /^([^/]+)\/(\d{1,3})$/.exec(input)
  const [, address = '', bits = ''] = parts ?? []
  const version = isIP(address)
  return version !== 0 && Number(bits) <= (version === 6 ? 128 : 32)
}

/** An address to listen on; `portSetting` is where its port is said. */
export const host = (portSetting: string): typeof text =>
  text.superRefine((input, context) => {
    const problem = problemOfHost(input, portSetting)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })

export const hostPort = text.refine(
  (input) => parseHostPort(input) !== undefined,
  'must be host:port, with an IPv6 address in brackets',
)

/** A path below which something is served. */
export const urlPath = text.refine(
  // As a browser would send it: what it encodes, or takes away as `..`, nobody could reach.
  (path) => /^\/(?:[\w.~!$&'()*+,;=:@-]+\/)*(?:[\w.~!$&'()*+,;=:@-]+)?$/.test(path) && isWhole(path),
  'must begin with /, and hold only letters without accents, digits and -._~!$&()*+,;=:@, and no . or .. between slashes',
)

const isWhole = (path: string): boolean => new URL(path, 'http://localhost').pathname === path

/** With a slash on both ends. */
export function asBase(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}

/** Read once, and told to peers in the one spelling that every WebRTC stack takes. */
export const turnUrl = text.transform((input, context): string => {
  const read = parseIceUrl(input)
  if (read.ok && read.value.scheme.startsWith('turn')) return formatIceUrl(read.value)
  const why = read.ok ? `${read.value.scheme}: is no TURN server` : `it ${read.problem}`
  const message = `must be a turn: or turns: URL such as turn:turn.example:3478?transport=udp: ${why}`
  context.issues.push({ code: 'custom', input, message })
  return z.NEVER
})

/** One setting: its type, its default, and one line about it. Flag and variable follow from its path. */
export function set<T extends z.ZodType>(schema: T, about: string, more: Omit<Setting, 'about'> = {}): T {
  settings.add(schema, { about, ...more })
  return schema
}

export function section<T extends z.ZodRawShape>(shape: T): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> {
  // Every setting has a default, so the empty mapping is a whole section: zod's types cannot say that.
  return z.strictObject(shape).prefault({} as z.input<z.ZodObject<T, z.core.$strict>>)
}
