import { readFileSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import type { Backend, Clock } from '@peerage/core'
import type { PeerJsHooks } from '../gateway/peerjs/options.js'
import type { Access } from '../gateway/shared/access.js'
import type { AnyServer } from '../http/listen.js'
import { withoutFlags } from '../lib/without-flags.js'
import type { Logger } from '../metrics/log.js'
import { checkConfig, nodeDefinition } from './check.js'
import { EMPTY_SECTION, resolve, type Definition, type Layer, type SettingProblem } from './load.js'
import type { Config, ConfigInput } from './schema.js'
import { placeOf, unknownSetting } from './settings.js'
import { withFiles } from './sources.js'

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
   * The application's own rules for who may come in. They replace the settings of `access` in every app, and the rule that
   * a program without an Origin header needs a key. The settings `apps` and `origins` still hold: the app that the rules
   * answer must be one that is served. Default: the rules of the settings.
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

/** Where the loader says that an option comes from. No message shows it. */
const SOURCE = 'options'

const OTHER_NAMES = [...Object.keys(HOOKS), 'useAsP2PServer']

/**
 * Checks all options of a node in an application, and returns its settings. Throws TypeError that names every problem.
 */
export function checkOptions(options: PeerageOptions): Config {
  if (!isSection(options))
    throw new TypeError(
      `options must be an object of settings, such as { origins: […] }; it is ${whatIs(options)}`,
    )
  const { useAsP2PServer, accessRules, logger, clock, backend, generateId, onPeer, ...input } = options
  const hooks = { accessRules, logger, clock, backend, generateId, onPeer }
  const problems = Object.entries(HOOKS).flatMap(([path, methods]) => {
    const problem = problemOfHook(path, methods, Reflect.get(hooks, path))
    return problem === undefined ? [] : [{ path, problem }]
  })
  const layer: Layer = { values: new Map(), problems: [] }
  readSection({ ...input, p2p: withP2PServer(input.p2p, useAsP2PServer) }, '', layer)
  const loaded = resolve(definitionFor(backend !== undefined), [layer])
  if (!loaded.ok) problems.push(...loaded.problems)
  if (problems.length > 0 || !loaded.ok) throw new TypeError(describeProblems(problems))
  return loaded.config
}

/** Only `listen` uses the host: an attached node uses the address of its application's server. */
function definitionFor(hasBackend: boolean): Definition<Config> {
  const check = (config: Config): SettingProblem[] =>
    checkConfig(config, hasBackend || config.redis.url !== null).filter(({ path }) => path !== 'host')
  return { ...nodeDefinition, check }
}

/** The given settings that only `listen` uses: an attached node uses the port, TLS and pages of its application's server. */
export function unusedByAttach({ host, port, page, tls, admin, api }: PeerageOptions): string[] {
  const given = { host, port, page, 'tls.cert': tls?.cert, 'admin.port': admin?.port, 'api.port': api?.port }
  const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== false
  return Object.entries(given).flatMap(([path, value]) => (isSet(value) ? [path] : []))
}

/** In an application the P2P server is off by default, because an application that opens one port expects only one. */
function withP2PServer(p2p: ConfigInput['p2p'], isAskedFor: boolean | undefined): unknown {
  // A value that is no section is passed on, and is then refused by name.
  if (p2p !== undefined && !isSection(p2p)) return p2p
  return { ...p2p, useAsP2PServer: isAskedFor ?? p2p?.useAsP2PServer ?? false }
}

/** Reads the settings of a section into a layer. `prefix` is the path of the section with a dot, or empty. */
function readSection(input: object, prefix: string, layer: Layer): void {
  const { leaves } = nodeDefinition
  const wrong = (path: string, problem: string): void =>
    void layer.problems.push({ path, problem, source: SOURCE })
  for (const [key, value] of Object.entries(input) as [string, unknown][]) {
    const path = `${prefix}${key}`
    const place = placeOf(leaves, path)
    if (place.type === 'unknown')
      wrong(path, unknownSetting(path, leaves, { noun: 'an option', others: OTHER_NAMES }))
    else if (value === undefined) continue
    else if (place.type === 'setting') {
      const read = place.leaf.mayBeFile ? withFiles(value, readText) : { ok: true as const, value }
      if (read.ok) layer.values.set(path, { value: read.value, source: SOURCE })
      else
        for (const { at, problem } of read.problems) wrong(at === undefined ? path : `${path}.${at}`, problem)
    } else if (isSection(value)) {
      if (place.isKeyed) layer.values.set(path, { value: EMPTY_SECTION, source: SOURCE })
      readSection(value, `${path}.`, layer)
    } else wrong(path, needsSection(path))
  }
}

const readText = (path: string): string => readFileSync(path, 'utf8')

const isSection = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

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

function needsSection(path: string): string {
  if (path.split('.')[0] === 'apps')
    return 'must be an object of settings such as { apps: { chat: { origins: […] } } }'
  const within = nodeDefinition.leaves.filter((leaf) => leaf.path.startsWith(`${path}.`))
  return `must be an object of settings such as { ${within[0]?.path.slice(path.length + 1) ?? '…'}: … }`
}

/** The problems as one text, in which settings have no flags. */
export function describeProblems(problems: readonly SettingProblem[]): string {
  return `options: ${problems.map(({ path, problem }) => `${path} ${withoutFlags(problem)}`).join('; ')}`
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
