import { isDeepStrictEqual } from 'node:util'
import type { Clock, Node, Timer } from '@peerage/core'
import { appOfSession } from '@peerage/core'
import type { App } from '@peerage/protocol'
import type { Apps } from './apps/apps.js'
import { listedApps, settingsOf } from './config/app-settings.js'
import { nodeDefinition } from './config/check.js'
import { valueAt } from './config/print.js'
import type { Config } from './config/schema.js'
import type { Logger } from './metrics/log.js'
import type { Metrics } from './metrics/metrics.js'

export interface ReloadsOptions {
  config: Config
  apps: Apps
  node: Pick<Node, 'sessions'>
  clock: Clock
  metrics: Pick<Metrics, 'reloaded'>
  log: Logger
}

/** The peers of an app that is no longer served are closed over this time, so that not all of them come back at once. */
const CLOSING_MS = 5_000
const CLOSING_BATCHES = 20

/** Takes settings anew while the node runs. The rules for apps take effect at once. Other settings need a restart. */
export class Reloads {
  readonly #options: ReloadsOptions
  #running: Config
  #closing: Timer | undefined

  constructor(options: ReloadsOptions) {
    this.#options = options
    this.#running = options.config
  }

  /**
   * Takes another configuration, which was checked. No socket is closed because of it, except those of peers whose app is
   * no longer served. If it cannot be taken, throws, and the former one stays.
   */
  take(next: Config): void {
    const { apps, metrics, log } = this.#options
    const former = this.#running
    const running = withAppsOf(former, next)
    const opened = openedApps(former, running)
    if (opened.length > 0) throw new TypeError(describeOpened(opened))
    apps.replace(running)
    this.#running = running
    metrics.reloaded('ok')
    log.info({ changed: changesBetween(former, running) }, 'reloaded')
    const settings = changesBetween(running, next)
    if (settings.length > 0) log.warn({ settings }, 'these settings have changed and need a restart')
    this.#closeUnserved()
  }

  /** Says why another configuration was not taken. */
  failed(problems: readonly string[]): void {
    this.#options.metrics.reloaded('failed')
    this.#options.log.error({ problems }, 'reload failed: the former settings stay in use')
  }

  stop(): void {
    this.#closing?.cancel()
  }

  // The claimer closes those whose claim is on its way.
  #closeUnserved(): void {
    this.#closing?.cancel()
    const { apps, node, clock } = this.#options
    const ids = [...node.sessions.allAdmitted()].flatMap((session) =>
      apps.of(appOfSession(session)) === undefined ? [session.connection.id] : [],
    )
    const batch = Math.ceil(ids.length / CLOSING_BATCHES)
    const closeSome = (): void => {
      for (const id of ids.splice(0, batch)) {
        // The end of the socket then suspends the name.
        node.sessions.get(id)?.connection.close('refused')
      }
      if (ids.length > 0) this.#closing = clock.after(CLOSING_MS / CLOSING_BATCHES, closeSome)
    }
    closeSome()
  }
}

/**
 * Apps that had an access rule and have none now, although nothing says that they are open. A file that was read while it was
 * empty or half written does this to every app.
 */
function openedApps(former: Config, next: Config): App[] {
  if (next.open) return []
  const listed = listedApps(next)
  const before = listedApps(former)
  return (before.length === 0 ? [former.defaultApp] : before).filter((app) => {
    if (listed.length > 0 && !listed.includes(app)) return false
    const isSaid = (Object.hasOwn(next.apps, app) ? next.apps[app]?.access : next.access)?.mode === 'open'
    return (
      !isSaid &&
      settingsOf(next, app).access.mode === 'open' &&
      settingsOf(former, app).access.mode !== 'open'
    )
  })
}

function describeOpened(apps: readonly App[]): string {
  return `${apps.join(', ')} had an access rule, and now has none: is the file whole? If everybody may come in, write access: { mode: open }`
}

/** A running configuration with what another one says about apps, and about who may come in. */
function withAppsOf(running: Config, next: Config): Config {
  const { defaultApp, apps, access, origins, taken, open, relay } = next
  const { connection, name, app } = next.limits
  const { key, allowDiscovery } = next.peerjs
  return {
    ...running,
    defaultApp,
    apps,
    access,
    origins,
    taken,
    open,
    relay,
    api: { ...running.api, keys: next.api.keys },
    limits: { ...running.limits, connection, name, app },
    peerjs: { ...running.peerjs, key, allowDiscovery },
    p2p: { ...running.p2p, turn: next.p2p.turn },
  }
}

/** The settings that differ, without their values, and the apps that differ. */
function changesBetween(one: Config, other: Config): string[] {
  const settings = nodeDefinition.leaves.flatMap(({ path }) => (path.startsWith('apps.') ? [] : [path]))
  const apps = [...new Set([...Object.keys(one.apps), ...Object.keys(other.apps)])].map(
    (app) => `apps.${app}`,
  )
  return [...settings, ...apps].filter((path) => !isDeepStrictEqual(valueAt(one, path), valueAt(other, path)))
}
