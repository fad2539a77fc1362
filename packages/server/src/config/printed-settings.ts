import type { App } from '@peerage/protocol'
import type { AccessSettings } from '../access/app-access.js'
import { listedApps, settingsOf } from './app-settings.js'
import { readAccess } from './access-settings.js'
import { nodeDefinition } from './check.js'
import { redacted, valueAt, type PrintedSetting } from './print.js'
import type { Config } from './schema.js'
import type { Leaf } from './settings.js'

type Sources = ReadonlyMap<string, string>

const APPS = 'apps.*.'

/**
 * All settings that hold for a node and for each of its apps, without secrets. What an app has from the node is printed
 * with the setting of the node as its source. Settings of access that the mode does not read are left out.
 */
export function printedSettings(config: Config, sources: Sources): PrintedSetting[] {
  const [ofNode, ofApp]: [Leaf[], Leaf[]] = [[], []]
  for (const leaf of nodeDefinition.leaves) (leaf.path.startsWith(APPS) ? ofApp : ofNode).push(leaf)
  const access = readAccess(config.access)
  const nodeMode = access.ok ? access.settings.mode : 'open'
  const node = ofNode.flatMap((leaf) => {
    const { path } = leaf
    if (!isRead(path, nodeMode)) return []
    const value = path === 'access.mode' ? nodeMode : valueAt(config, path)
    return [{ path, value: redacted(leaf, value), source: sources.get(path) }]
  })
  return [...node, ...listedApps(config).flatMap((app) => ofApp.flatMap(printedOf(app, config, sources)))]
}

/** How the settings of one app are printed. */
function printedOf(app: App, config: Config, sources: Sources): (leaf: Leaf) => PrintedSetting[] {
  const own = config.apps[app]
  const { mode } = settingsOf(config, app).access
  return (leaf) => {
    const within = leaf.path.slice(APPS.length)
    if (!isRead(within, mode)) return []
    const path = `apps.${app}.${within}`
    const printed = (value: unknown, source: string | undefined): PrintedSetting[] => [
      { path, value: redacted(leaf, within === 'access.mode' ? mode : value), source },
    ]
    const value = valueAt(own, within)
    if (value !== undefined) return printed(value, sources.get(path))
    const from = settingOfNode(within, app === config.defaultApp)
    if (from === undefined) return printed(leaf.default ?? [], undefined)
    const source = sources.get(from)
    return printed(valueAt(config, from), source === undefined ? from : `${from}, ${source}`)
  }
}

/** The setting of the node that holds for an app without a setting of its own. */
function settingOfNode(within: string, isDefaultApp: boolean): string | undefined {
  if (within === 'peerjsKeys') return undefined
  if (within === 'api.keys') return isDefaultApp ? within : undefined
  if (within === 'discovery') return 'peerjs.allowDiscovery'
  return within.startsWith('turn.') ? `p2p.${within}` : within
}

/** Whether a setting says something in this mode of access. */
function isRead(path: string, mode: AccessSettings['mode']): boolean {
  if (!path.startsWith('access.') || path === 'access.mode') return true
  switch (mode) {
    case 'open':
      return false
    case 'key':
      return path === 'access.key' || path === 'access.previousKey'
    case 'token':
      return path.startsWith('access.token.')
    case 'webhook':
      return path.startsWith('access.webhook.')
  }
}
