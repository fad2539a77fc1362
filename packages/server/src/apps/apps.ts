import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { App } from '@peerage/protocol'
import type { AppAccess, MakeAccess, TokenSettings } from '../access/app-access.js'
import { isForAnyApp, listedApps, settingsOf, type AppSettings } from '../config/app-settings.js'
import type { Config } from '../config/schema.js'
import type { AccessDecision } from '../gateway/shared/access.js'
import { isOriginAllowed } from '../gateway/shared/access.js'
import type { AppPolicies, AppPolicy, KeyMeaning } from './policy.js'
import { PUBLIC_KEY } from './policy.js'

export interface AppsOptions {
  config: Config
  makeAccess: MakeAccess
}

/** How many apps have a label of their own in metrics, over all reloads. */
const LABELS_MOST = 100
const OTHER_LABEL = 'other'
/** How many apps that are not listed are kept. Peers choose their names, so the oldest is forgotten, and made again. */
const UNLISTED_MOST = 1_000
/** Paths of a node that look like keys of PeerJS [PJ2]. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['v1', 'peerage'])
const ANY_KEY = '*'

interface Served {
  settings: AppSettings
  access: AppAccess
  policy: AppPolicy
}

/** All apps of one configuration. A reload makes a new table. */
interface Table {
  config: Config
  defaultApp: App
  /** The listed apps. If none is listed, the default app. */
  served: ReadonlyMap<App, Served>
  /** Whether peers may choose other apps than these. */
  hasOthers: boolean
  /** The others that peers have chosen. */
  others: Map<App, Served>
  /** What each key of PeerJS stands for, by its hash: so that a look-up takes as long for a right key as for a wrong one. */
  keys: ReadonlyMap<string, App | undefined>
}

/**
 * The apps of a node, as the configuration describes them. `replace` takes another configuration: policies are then new
 * objects, and what has not changed keeps its access rule, with all that the rule has cached.
 */
export class Apps implements AppPolicies {
  readonly #makeAccess: MakeAccess
  readonly #labels = new Set<App>()
  readonly #listeners = new Set<() => void>()
  #table: Table

  /** Throws what `makeAccess` throws. */
  constructor({ config, makeAccess }: AppsOptions) {
    this.#makeAccess = makeAccess
    this.#table = this.#tableOf(config, undefined)
  }

  get defaultApp(): App {
    return this.#table.defaultApp
  }

  of(app: App): AppPolicy | undefined {
    const { served, hasOthers } = this.#table
    return served.get(app)?.policy ?? (hasOthers ? this.#other(app).policy : undefined)
  }

  /** The label of an app in metrics, also of an app that is not served. It makes no policy. */
  labelOf(app: App): string {
    return this.#table.served.get(app)?.policy.label ?? OTHER_LABEL
  }

  /** The listed apps. If none is listed, the default app. */
  all(): AppPolicy[] {
    return [...this.#table.served.values()].map(({ policy }) => policy)
  }

  /** The keys of the API, by the app that each of them stands for. Apps without keys are left out. */
  apiKeys(): ReadonlyMap<App, readonly string[]> {
    const all = [...this.#table.served].map(([app, { settings }]) => [app, settings.apiKeys] as const)
    return new Map(all.filter(([, keys]) => keys.length > 0))
  }

  /** How an app checks tokens. Undefined if it takes none, or is not served. */
  tokenSettingsOf(app: App): TokenSettings | undefined {
    const access = this.#table.served.get(app)?.settings.access
    return access?.mode === 'token' ? access.token : undefined
  }

  mayConnect(origin: string | undefined): boolean {
    const { served } = this.#table
    for (const { settings } of served.values()) if (isOriginAllowed(settings.origins, origin)) return true
    return false
  }

  appOfKey(key: string): KeyMeaning {
    if (RESERVED_KEYS.has(key)) return { ok: false }
    const { keys, config } = this.#table
    const isAnyServed = config.peerjs.key === ANY_KEY
    const digest = hash('sha256', key)
    if (!isAnyServed && !keys.has(digest)) return { ok: false }
    return { ok: true, app: keys.get(digest), isSecret: !isAnyServed && key !== PUBLIC_KEY }
  }

  /** Takes another configuration. If an access rule of it cannot be made, throws and keeps the former one. */
  replace(config: Config): void {
    const former = this.#table
    const table = this.#tableOf(config, former)
    this.#table = table
    const kept = accessesOf(table)
    for (const access of accessesOf(former)) if (!kept.has(access)) access.stop()
    for (const listener of this.#listeners) listener()
  }

  /** Calls the listener after each `replace`. Returns a function that ends this. */
  onReplaced(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  stop(): void {
    for (const access of accessesOf(this.#table)) access.stop()
  }

  #tableOf(config: Config, former: Table | undefined): Table {
    const listed = listedApps(config)
    const served = new Map<App, Served>()
    try {
      for (const app of listed.length === 0 ? [config.defaultApp] : listed)
        served.set(app, this.#serve(config, app, former?.served.get(app)))
    } catch (error) {
      for (const { access } of served.values()) if (!accessesOf(former).has(access)) access.stop()
      throw error
    }
    const mode = served.get(config.defaultApp)?.settings.access.mode
    return {
      config,
      defaultApp: config.defaultApp,
      served,
      hasOthers: listed.length === 0 && mode !== undefined && isForAnyApp(mode),
      others: new Map(),
      keys: keysOf(config, served),
    }
  }

  #serve(config: Config, app: App, former: Served | undefined): Served {
    const settings = settingsOf(config, app)
    const access =
      former !== undefined && isDeepStrictEqual(former.settings.access, settings.access)
        ? former.access
        : this.#makeAccess(app, settings.access)
    return {
      settings,
      access,
      policy: policyOf(app, settings, { access, label: this.#labelOf(config, app) }),
    }
  }

  #other(app: App): Served {
    const { config, others } = this.#table
    const known = others.get(app)
    if (known !== undefined) return known
    for (const [oldest, { access }] of others) {
      if (others.size < UNLISTED_MOST) break
      others.delete(oldest)
      access.stop()
    }
    const served = this.#serve(config, app, undefined)
    others.set(app, served)
    return served
  }

  /** Apps that peers have chosen have no label, and neither have those beyond a number. */
  #labelOf({ apps, defaultApp }: Config, app: App): string {
    if (app !== defaultApp && !Object.hasOwn(apps, app)) return OTHER_LABEL
    if (!this.#labels.has(app) && this.#labels.size >= LABELS_MOST) return OTHER_LABEL
    this.#labels.add(app)
    return app
  }
}

function accessesOf(table: Table | undefined): Set<AppAccess> {
  if (table === undefined) return new Set()
  return new Set([...table.served.values(), ...table.others.values()].map(({ access }) => access))
}

function policyOf(
  app: App,
  settings: AppSettings,
  { access, label }: { access: AppAccess; label: string },
): AppPolicy {
  const { origins, taken, limits, relay, turn, discovery, apiKeys } = settings
  const hasApi = apiKeys.length > 0
  // Browsers always send Origin. A program that sends none must prove something else.
  const isForPages = settings.access.mode === 'open' && origins.length > 0
  return {
    app,
    label,
    origins,
    taken,
    limits,
    relay: relay.enabled ? { bytesPerSecond: relay.bytesPerSecond, messageBytes: relay.messageBytes } : null,
    turn,
    discovery,
    hasApi,
    indexed: discovery || hasApi,
    admit: (request) =>
      isForPages && request.origin === undefined ? Promise.resolve(FOR_PAGES) : access.admit(request),
  }
}

const FOR_PAGES: AccessDecision = {
  ok: false,
  code: 'forbidden',
  detail: "only pages of this app's origins may connect: for programs the app needs access.key as well",
}

/**
 * What each key of PeerJS stands for: the keys of `peerjs.key`, those of each app, and shared keys, which a PeerJS client
 * may present as its key. A shared key of several apps stands for the default app.
 */
function keysOf(config: Config, served: ReadonlyMap<App, Served>): Map<string, App | undefined> {
  const keys = new Map<string, App | undefined>()
  const shared = new Map<string, App | undefined>()
  for (const [app, { settings }] of served) {
    const { access, peerjsKeys } = settings
    for (const key of peerjsKeys) keys.set(hash('sha256', key), app)
    if (access.mode !== 'key') continue
    for (const key of access.previousKey === null ? [access.key] : [access.key, access.previousKey]) {
      const digest = hash('sha256', key)
      shared.set(digest, shared.has(digest) || served.size === 1 ? undefined : app)
    }
  }
  for (const [digest, app] of shared) if (!keys.has(digest)) keys.set(digest, app)
  const { key } = config.peerjs
  if (typeof key === 'object')
    for (const [each, app] of Object.entries(key)) keys.set(hash('sha256', each), app)
  else if (key !== ANY_KEY) keys.set(hash('sha256', key), undefined)
  return keys
}
