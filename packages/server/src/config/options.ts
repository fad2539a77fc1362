import type { Server as HttpServer } from 'node:http'
import type { Backend, Clock } from '@peerage/core'
import type { PeerJsHooks } from '../gateway/peerjs/options.js'
import type { Access } from '../gateway/shared/access.js'
import type { AnyServer } from '../http/listen.js'
import type { Logger } from '../metrics/log.js'
import { checkConfig, nodeDefinition } from './check.js'
import type { SettingProblem } from './load.js'
import { configSchema, type Config, type ConfigInput } from './schema.js'
import { didYouMean } from './settings.js'

/**
 * The options of `createPeerage`. They are all settings of a node, under the keys of the configuration file, and the
 * functions and objects of the application below. docs/settings.md lists each setting with its default. Unlike
 * `peerage serve`, `createPeerage` reads neither the environment nor a file. Times are in milliseconds and sizes in bytes.
 *
 * @example
 * ```js
 * createPeerage({
 *   path: '/peers',
 *   redis: { url: 'redis://localhost:6379' },
 *   origins: ['https://app.example'],
 *   limits: { address: { connections: 100 } },
 * })
 * ```
 */
export interface PeerageOptions extends ConfigInput, PeerJsHooks {
  /**
   * Runs the integrated P2P server (STUN) on UDP, at the port of the HTTP server + 1. The same as the setting
   * `p2p.useAsP2PServer`. Default: false.
   */
  useAsP2PServer?: boolean
  /**
   * The application's own rules for who may come in. They replace the settings `access.key` and `apps.allow`, and the rule
   * that a program without an Origin header needs a key. The setting `origins` still refuses pages before the upgrade.
   * Default: the rules of the settings.
   */
  accessRules?: Access
  /**
   * A pino logger, or an object with the same methods. Default: lines on standard output, as `log.level` and `log.format`
   * say.
   */
  logger?: Logger
  /** The clock of the node, for tests. Default: the clock of the system. */
  clock?: Clock
  /**
   * This node's access to the store that all nodes share. Each node needs its own `Backend` object. Default: Redis if
   * `redis.url` is set, else the memory of this process.
   */
  backend?: Backend
}

// Options may come from code without types, so they are checked at run time.

/** The options that are not settings, with the methods that each must have. An option without methods is a function. */
const HOOKS = {
  accessRules: ['admit'],
  logger: ['debug', 'info', 'warn', 'error'],
  clock: ['now', 'monotonic', 'after'],
  backend: ['start', 'stop'],
  generateId: [],
  onPeer: [],
} as const satisfies Partial<Record<keyof PeerageOptions, readonly string[]>>

const OTHER_NAMES = [...Object.keys(HOOKS), 'useAsP2PServer']

/** Throws TypeError that names every problem of the options. */
export function checkHooks(options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new TypeError(
      `options must be an object of settings, such as { origins: […] }; it is ${whatIs(options)}`,
    )
  const problems = Object.entries(HOOKS).flatMap(([path, methods]) => {
    const problem = problemOfHook(path, methods, Reflect.get(options, path))
    return problem === undefined ? [] : [{ path, problem }]
  })
  if (problems.length > 0) throw new TypeError(describeProblems(problems))
}

function problemOfHook(path: string, methods: readonly string[], value: unknown): string | undefined {
  if (value === undefined) return undefined
  const [first] = methods
  if (first === undefined)
    return typeof value === 'function' ? undefined : `must be a function; it is ${whatIs(value)}`
  if (typeof value === 'object' && value !== null) {
    const missing = methods.find((method) => typeof Reflect.get(value, method) !== 'function')
    return missing === undefined
      ? undefined
      : `must be an object with ${listed(methods)}, but it has no ${missing}()`
  }
  const advice = typeof value === 'function' && methods.length === 1 ? `: write ${path}: { ${first}: … }` : ''
  return `must be an object with ${listed(methods)}; it is ${whatIs(value)}${advice}`
}

const listed = (methods: readonly string[]): string => methods.map((method) => `${method}()`).join(', ')

/**
 * Checks the settings of a node in an application. `hasBackend`: whether the application passes its own store. Throws
 * TypeError that names every problem.
 */
export function validated(input: ConfigInput, hasBackend: boolean): Config {
  const parsed = configSchema.safeParse(input)
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue): SettingProblem[] => {
      const path = issue.path.join('.')
      if (issue.code === 'unrecognized_keys')
        return issue.keys.map((key) => unknownKey([...issue.path, key].join('.')))
      if (issue.code === 'invalid_type' && issue.expected === 'object')
        return [{ path, problem: needsSection(path) }]
      return [{ path, problem: issue.message }]
    })
    throw new TypeError(describeProblems(problems))
  }
  // Only `listen` uses the host. An attached node uses the address of its application's server.
  const hasStore = hasBackend || parsed.data.redis.url !== null
  const problems = checkConfig(parsed.data, hasStore).filter(({ path }) => path !== 'host')
  if (problems.length > 0) throw new TypeError(describeProblems(problems))
  return parsed.data
}

function unknownKey(path: string): SettingProblem {
  return { path, problem: `is not an option${didYouMean(path, nodeDefinition.leaves, OTHER_NAMES)}` }
}

function needsSection(path: string): string {
  const within = nodeDefinition.leaves.filter((leaf) => leaf.path.startsWith(`${path}.`))
  return `must be an object of settings such as { ${within[0]?.path.slice(path.length + 1) ?? '…'}: … }`
}

export function describeProblems(problems: readonly SettingProblem[]): string {
  return `options: ${problems.map(({ path, problem }) => `${path} ${problem}`).join('; ')}`
}

/** Throws TypeError if `server` is not an HTTP server. The message says what to pass instead. */
export function checkServer(server: unknown): asserts server is AnyServer {
  if (isServer(server)) return
  const wanted = 'attach takes a Node HTTP server: what createServer() of node:http or node:https returns'
  throw new TypeError(`${wanted}. ${insteadOf(server)}`)
}

function isServer(server: unknown): boolean {
  if (typeof server !== 'object' || server === null) return false
  const has = (name: keyof HttpServer): boolean => typeof Reflect.get(server, name) === 'function'
  return has('on') && has('emit') && has('address') && typeof Reflect.get(server, 'listening') === 'boolean'
}

function insteadOf(server: unknown): string {
  if (typeof server === 'function')
    return 'This is a function, such as an Express app: pass createServer(app), or what app.listen() returns'
  if (typeof server !== 'object' || server === null) return `This is ${whatIs(server)}`
  for (const name of ['server', 'listener', 'httpServer'] as const)
    if (isServer(Reflect.get(server, name))) return `This is an object of a framework: pass its .${name}`
  if (typeof Reflect.get(server, 'callback') === 'function')
    return 'This is a Koa app: pass createServer(app.callback()), or what app.listen() returns'
  return 'This is another object'
}

function whatIs(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
