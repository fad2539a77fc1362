import { parseApp, type App } from '@peerage/protocol'
import type { AccessSettings } from '../access/app-access.js'
import { readAccess } from './access-settings.js'
import type { Config } from './schema.js'

/** The settings that hold for one app: its own, and those of the node that it leaves out. */
export interface AppSettings {
  access: AccessSettings
  origins: Config['origins']
  taken: Config['taken']
  limits: Pick<Config['limits'], 'connection' | 'name' | 'app'>
  relay: Config['relay']
  turn: Config['p2p']['turn']
  discovery: boolean
  peerjsKeys: readonly string[]
  apiKeys: readonly string[]
}

/** The apps that the configuration lists. If there are none, peers may choose any app. */
export function listedApps({ apps }: Pick<Config, 'apps'>): App[] {
  return Object.keys(apps).flatMap((text) => {
    const app = parseApp(text)
    return app.ok ? [app.value] : []
  })
}

/** Peers may choose any app where none is listed, so a budget for each of these would keep nobody out. */
const NO_BUDGET = { connections: 0, connectsPerSecond: 0, messagesPerSecond: 0, bytesPerSecond: 0 }

/**
 * Whether apps that are not listed are served, if none is listed. With tokens and webhooks each app costs a cache and
 * calls, which no stranger may choose for us.
 */
export function isForAnyApp(mode: AccessSettings['mode']): boolean {
  return mode === 'open' || mode === 'key'
}

/** The settings of an app, whether it is listed or not. The configuration was checked. */
export function settingsOf(config: Config, app: App): AppSettings {
  const own = Object.hasOwn(config.apps, app) ? config.apps[app] : undefined
  const { limits, relay } = config
  const access = readAccess(own?.access ?? config.access)
  if (!access.ok) throw new TypeError(`access of ${app} ${access.problems[0]?.problem}`)
  return {
    access: access.settings,
    origins: own?.origins ?? config.origins,
    taken: own?.taken ?? config.taken,
    limits: {
      connection: over(limits.connection, own?.limits?.connection),
      name: over(limits.name, own?.limits?.name),
      app: own === undefined ? NO_BUDGET : over(limits.app, own.limits?.app),
    },
    relay: over(relay, own?.relay),
    turn: own?.turn ?? config.p2p.turn,
    discovery: own?.discovery ?? config.peerjs.allowDiscovery,
    peerjsKeys: own?.peerjsKeys ?? [],
    apiKeys: own?.api?.keys ?? (app === config.defaultApp ? config.api.keys : []),
  }
}

/** The values of a section, with those replaced that are set in another. */
function over<T extends object>(section: T, own: { [K in keyof T]?: T[K] | undefined } | undefined): T {
  const set = Object.entries(own ?? {}).filter(([, value]) => value !== undefined)
  return { ...section, ...Object.fromEntries(set) }
}
