import { hash } from 'node:crypto'
import type { App } from '@peerage/protocol'
import { readAccess } from './access-settings.js'
import { isForAnyApp, listedApps, settingsOf } from './app-settings.js'
import type { AccessConfig } from './app-schema.js'
import { checkTurn } from './check-turn.js'
import { isLoopback } from './hosts.js'
import type { SettingProblem } from './load.js'
import type { Config } from './schema.js'

/** The rules between the settings of apps, and who may come in. */
export function checkApps(config: Config): SettingProblem[] {
  const apps = listedApps(config)
  const problems = apps.flatMap((app) => {
    const turn = config.apps[app]?.turn
    return turn === undefined ? [] : checkTurn(turn, `apps.${app}.turn`)
  })
  const wrong = [
    ...checkAccess('access', config.access),
    ...apps.flatMap((app) => checkOwnAccess(config, app)),
  ]
  problems.push(...checkDefaultApp(config, apps), ...wrong)
  // The other rules need settings that can be read.
  if (wrong.length > 0) return problems
  return [
    ...problems,
    ...checkReach(config, apps),
    ...checkPeerJsKeys(config, apps),
    ...checkApiKeys(config, apps),
  ]
}

/** The rules between the settings `access` that hold for one app. */
export function checkAccessOf(config: Config, app: App): SettingProblem[] {
  const isOwn = Object.hasOwn(config.apps, app) && config.apps[app]?.access !== undefined
  return isOwn ? checkOwnAccess(config, app) : checkAccess('access', config.access)
}

function checkOwnAccess({ apps }: Pick<Config, 'apps'>, app: App): SettingProblem[] {
  const access = apps[app]?.access
  return access === undefined ? [] : checkAccess(`apps.${app}.access`, access)
}

function checkAccess(path: string, access: AccessConfig): SettingProblem[] {
  const read = readAccess(access)
  return read.ok ? [] : read.problems.map((each) => below(path, each))
}

/** A problem of a setting in a section, with its whole path. */
function below(section: string, { path, problem, because }: SettingProblem): SettingProblem {
  const whole = { path: `${section}.${path}`, problem }
  return because === undefined ? whole : { ...whole, because: because.map((each) => `${section}.${each}`) }
}

function checkDefaultApp({ defaultApp }: Config, apps: readonly App[]): SettingProblem[] {
  if (apps.length === 0 || apps.includes(defaultApp)) return []
  const problem = `is ${defaultApp}, and must be one of apps (${apps.join(', ')}): set it to the app of peers that name none`
  return [{ path: 'defaultApp', problem, because: ['apps'] }]
}

/** Beyond loopback, each app needs a rule that says who may come in, or must say that it is open. */
export function checkReach(config: Config, apps = listedApps(config)): SettingProblem[] {
  if (config.open || isLoopback(config.host)) return []
  const isOpen = (app: App): boolean => {
    const { access, origins } = settingsOf(config, app)
    // An app that says itself that it is open is open on purpose.
    return access.mode === 'open' && origins.length === 0 && config.apps[app]?.access?.mode !== 'open'
  }
  if (apps.length === 0)
    return isOpen(config.defaultApp) ? [{ path: 'host', problem: OPEN_NODE, because: RULES }] : []
  const open = apps.filter(isOpen)
  if (open.length === 0) return []
  const problem = `is beyond loopback, and no rule says who may connect to ${open.join(', ')}: set access or origins of each app. If anybody may, set access: { mode: open } of the app, or open (--open) for all`
  return [{ path: 'host', problem, because: RULES }]
}

/** Where the rules are. One that cannot be read is not a missing one. */
const RULES = ['apps', 'access', 'origins']

const OPEN_NODE =
  'is beyond loopback, and no rule says who may connect: set access.key or origins, or open (--open) if anybody may'

/** Each key of PeerJS stands for one app, and for one that is served. */
function checkPeerJsKeys(config: Config, apps: readonly App[]): SettingProblem[] {
  const problems: SettingProblem[] = []
  const { key } = config.peerjs
  const owners = new Map<string, string>()
  for (const each of typeof key === 'string' ? [key] : Object.keys(key)) owners.set(each, 'peerjs.key')
  const served = servedApps(config, apps)
  if (typeof key === 'object' && served !== undefined)
    for (const [each, app] of Object.entries(key))
      if (!served.includes(app))
        problems.push({
          path: 'peerjs.key',
          problem: `stands for the app ${app} with the key ${each}, which is not served: list it in apps`,
          because: ['apps'],
        })
  for (const app of apps)
    for (const [index, each] of settingsOf(config, app).peerjsKeys.entries()) {
      const owner = owners.get(each)
      owners.set(each, `apps.${app}.peerjsKeys`)
      if (owner !== undefined)
        problems.push({
          path: `apps.${app}.peerjsKeys`,
          problem: `has the key ${index + 1} that ${owner} has already: a key of PeerJS stands for one app`,
        })
    }
  return problems
}

/** The apps that are served. Undefined: any. */
function servedApps(config: Config, apps: readonly App[]): readonly App[] | undefined {
  if (apps.length > 0) return apps
  const { mode } = settingsOf(config, config.defaultApp).access
  return isForAnyApp(mode) ? undefined : [config.defaultApp]
}

/** The key of the API says which app is meant, so no two apps have the same one. */
function checkApiKeys(config: Config, apps: readonly App[]): SettingProblem[] {
  const problems: SettingProblem[] = []
  const owners = new Map<string, App>()
  for (const app of apps.length === 0 ? [config.defaultApp] : apps)
    for (const key of settingsOf(config, app).apiKeys) {
      const digest = hash('sha256', key)
      const owner = owners.get(digest)
      owners.set(digest, app)
      if (owner !== undefined && owner !== app)
        problems.push({
          path: `apps.${app}.api.keys`,
          problem: `has a key of ${owner}: a key of the API says which app is meant, so each app needs its own`,
        })
    }
  if (config.api.port !== null && owners.size === 0)
    problems.push({
      path: 'api.port',
      problem: 'needs a key: set api.keys, or the api.keys of an app',
      because: ['apps'],
    })
  return problems
}
