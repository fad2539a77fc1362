import { listedApps, settingsOf } from '../config/app-settings.js'
import { asBase } from '../config/kinds.js'
import type { Config } from '../config/schema.js'
import type { Finding } from './doctor-checks.js'

/** The wires whose clients present everything in a fixed URL, and where they connect below the node's path. */
const FIXED_URLS = [
  ['yWebrtc', 'y-webrtc', 'y-webrtc/{app}'],
  ['webtorrent', 'WebTorrent', 'announce/{app}'],
  ['trystero', 'trystero', 'trystero/{app}'],
  ['matchbox', 'matchbox', 'matchbox/{room}?app='],
] as const

/** Which of these wires are on, and whether their clients can keep their access. */
export function checkWires(config: Config): Finding[] {
  const subject = 'wires'
  const on = FIXED_URLS.filter(([section]) => config[section].enabled)
  if (on.length === 0) return []
  const base = asBase(config.path)
  const text = on.map(([, client, below]) => `${client} at ${base}${below}`).join(', ')
  const findings: Finding[] = [{ verdict: 'ok', subject, text }]
  const listed = listedApps(config)
  const apps = (listed.length === 0 ? [config.defaultApp] : listed).filter(
    (app) => settingsOf(config, app).access.mode === 'token',
  )
  if (apps.length === 0) return findings
  const clients = on.map(([, client]) => client).join(', ')
  const why = `clients of ${clients} have their token in a fixed URL, so a token that expires locks them out when they connect again`
  const advice = 'for them give the app a key or a webhook, or tokens that live longer than a page'
  return [...findings, { verdict: 'warn', subject, text: `${apps.join(', ')}: ${why}: ${advice}` }]
}
