import { isIP } from 'node:net'
import { formatIceUrl, parseApp, parseHostPort, parseIceUrl, type App } from '@peerage/protocol'
import { z } from 'zod'
import { problemOfHost } from './hosts.js'

/** What the loader, the CLI and the documentation know about a setting beyond its type. */
export interface Setting {
  /** One line for `--help` and the table of settings. */
  about: string
  /** The flag, if it differs from the path: `redis.url` is `--redis`, and so `PEERAGE_REDIS`. */
  flag?: string
  /** The value is redacted wherever it is shown, and may be read from a file. */
  secret?: true
  /** The value may be read from the file that `{ file: … }` or the variable `PEERAGE_…_FILE` names, as a secret may. */
  isFromFile?: true
}

/** Every schema that is registered here is a setting. Every other schema is a section. */
export const settings = z.registry<Setting>()

/** A whole number. If 0 means "no limit", `about` says so. */
export function whole(min: number, max: number): z.ZodNumber {
  const error = `must be a whole number from ${min} to ${max}`
  return z.number(error).int(error).min(min, error).max(max, error)
}

export const port = whole(0, 65_535)
/** At most a day, because a longer time is probably a mistaken unit. */
export const milliseconds = whole(1, 86_400_000)
export const flag = z.boolean('must be true or false')
/** Of an empty text, no other problem is told. */
export const text = z.string('must be a string').min(1, { error: 'must not be empty', abort: true })

export function oneOf<const T extends readonly [string, ...string[]]>(
  ...values: T
): z.ZodEnum<{ [K in T[number]]: K }> {
  return z.enum(values, `must be one of ${values.join(', ')}`)
}

/** A list. `example`: an item of it, as the file has it. */
export function listOf<T extends z.ZodType>(item: T, example: string): z.ZodArray<T> {
  return z.array(item, `must be a list, such as [${example}]`)
}

const APP_RULE = 'must be an app: 1 to 32 characters of a-z, 0-9 and -'
export const app: z.ZodType<App, string> = z.string(APP_RULE).transform((input, context): App => {
  const parsed = parseApp(input)
  if (parsed.ok) return parsed.value
  context.issues.push({ code: 'custom', input, message: APP_RULE })
  return z.NEVER
})

/** RFC 6454 §6.2: an origin exactly as browsers send it, because origins are compared byte for byte. */
export const origin = text.superRefine((input, context) => {
  const problem = problemOfOrigin(input)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const ORIGIN_RULE =
  'must be an exact origin such as https://app.example, http://localhost:3000 or capacitor://localhost: scheme, host and port only'
/** The schemes of pages that can open sockets: web pages, apps in a shell, and browser extensions. */
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
/** Chromium sends this in the handshake of a WebSocket for pages that were opened from a file. */
const FILE_ORIGIN = 'file://'

function problemOfOrigin(input: string): string | undefined {
  if (input === 'null')
    return 'must not be null: browsers send it for sandboxed frames, files and many other pages, so it identifies no page. Serve the page from an origin of its own, or leave origins empty and set access.key'
  if (input.includes('*'))
    return `${ORIGIN_RULE}; * is not a wildcard here. List each origin, or leave the list empty for all`
  if (!URL.canParse(input)) return ORIGIN_RULE
  const url = new URL(input)
  // A page at https opens a socket at wss, but its origin has the scheme https.
  const scheme = url.protocol.slice(0, -1).replace(/^ws(?=s?$)/, 'http')
  if (!SCHEMES.includes(scheme) && input.includes('://'))
    return `${ORIGIN_RULE}; pages of ${scheme}: cannot connect. The scheme must be one of ${SCHEMES.join(', ')}`
  const written = scheme === 'file' ? FILE_ORIGIN : url.host === '' ? undefined : `${scheme}://${url.host}`
  if (written === input) return undefined
  return written === undefined ? ORIGIN_RULE : `${ORIGIN_RULE}; browsers send ${written}`
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

/** A host to listen on. `portSetting` names the setting of its port. */
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
  // The path must be as a browser sends it. A browser encodes other characters and resolves `..`, so such a path would
  // never be reached.
  (path) => /^\/(?:[\w.~!$&'()*+,;=:@-]+\/)*(?:[\w.~!$&'()*+,;=:@-]+)?$/.test(path) && isWhole(path),
  'must begin with /, and contain only letters without accents, digits and -._~!$&()*+,;=:@, and no . or .. between slashes',
)

const isWhole = (path: string): boolean => new URL(path, 'http://localhost').pathname === path

/** A path with a slash at both ends. */
export function asBase(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}

/** A value that the configuration may keep in a file of its own. */
export interface InFile {
  /** The path of the file. Its last line break is not part of the value. */
  file: string
}

/** A text, or the file that holds it. The sources of settings read the file, so that the schema sees only the text. */
export function secretText<T extends z.ZodType<string, string>>(inner: T) {
  return z
    .custom<string | InFile>()
    .transform((input, context): string => {
      if (typeof input === 'string') return input
      context.issues.push({ code: 'custom', input, message: 'must be a string, or { file: path }' })
      return z.NEVER
    })
    .pipe(inner)
}

/** The URL of a web server without a login, because a URL is shown and logged. */
export const webUrl = text.superRefine((input, context) => {
  const url = URL.canParse(input) ? new URL(input) : undefined
  const message =
    url === undefined || !/^https?:$/.test(url.protocol)
      ? 'must be a URL such as https://id.example/keys.json'
      : url.username !== '' || url.password !== ''
        ? 'must not have a login: URLs are shown and logged'
        : url.hash !== ''
          ? 'must not have a fragment (#…)'
          : undefined
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})

/** A TURN URL, normalized to the spelling that every WebRTC implementation accepts. Peers get it in this form. */
export const turnUrl = text.transform((input, context): string => {
  const read = parseIceUrl(input)
  if (read.ok && read.value.scheme.startsWith('turn')) return formatIceUrl(read.value)
  const why = read.ok ? `${read.value.scheme}: is not a TURN server` : `it ${read.problem}`
  const message = `must be a turn: or turns: URL such as turn:turn.example:3478?transport=udp: ${why}`
  context.issues.push({ code: 'custom', input, message })
  return z.NEVER
})

/** Declares a setting: its type, its default and one line about it. Flag and variable follow from its path. */
export function set<T extends z.ZodType>(schema: T, about: string, more: Omit<Setting, 'about'> = {}): T {
  settings.add(schema, { about, ...more })
  return schema
}

/** Declares a setting that an app may have of its own. Without it, the setting of the node holds. */
export function own<T extends z.ZodType>(schema: T, about: string): z.ZodOptional<T> {
  return set(schema.optional(), about)
}

export function section<T extends z.ZodRawShape>(shape: T): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> {
  // Every setting has a default, so the empty mapping is a whole section. zod's types cannot express that.
  return z.strictObject(shape).prefault({} as z.input<z.ZodObject<T, z.core.$strict>>)
}

/** The log settings of each command that runs a server: a new section for each schema. */
export const log = () =>
  section({
    level: set(
      oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent').default('info'),
      'the lowest level that is logged',
    ),
    format: set(
      oneOf('auto', 'pretty', 'json').default('auto'),
      'format of log lines; auto: pretty on a terminal, else JSON',
    ),
  })
