import type { App } from '@peerage/protocol'
import { listedApps, settingsOf, type AppSettings } from '../config/app-settings.js'
import type { Config } from '../config/schema.js'
import { urlWires } from '../config/url-wires.js'
import type { Finding } from './doctor-checks.js'

/** Which of the wires with fixed URLs are on, and whether their clients can keep their access. */
export function checkWires(config: Config): Finding[] {
  const subject = 'wires'
  const wires = urlWires(config)
  const on = wires.filter(({ isOn }) => isOn)
  if (on.length === 0) {
    const settings = wires.map(({ client, setting }) => `${client} by ${setting}`).join(', ')
    return [
      {
        verdict: 'ok',
        subject,
        text: `none beside the SDK and PeerJS; they can be switched on: ${settings}`,
      },
    ]
  }
  const text = on.map(({ client, pattern }) => `${client} at ${pattern}`).join(', ')
  const findings: Finding[] = [{ verdict: 'ok', subject, text }]
  const warn = (apps: readonly App[], text: string): void => {
    if (apps.length > 0) findings.push({ verdict: 'warn', subject, text: `${apps.join(', ')}: ${text}` })
  }
  const clients = on.map(({ client }) => client).join(', ')
  warn(
    appsWhere(config, ({ access }) => access.mode === 'token'),
    `clients of ${clients} have their token in a fixed URL, so a token that expires locks them out when they connect again: for them give the app a key or a webhook, or tokens that live longer than a page (access.token.lifetimeMs)`,
  )
  if (config.matchbox.enabled)
    warn(
      appsWhere(config, ({ access, origins }) => access.mode === 'open' && origins.length > 0),
      'only pages of its origins may connect, so a native game with matchbox is refused, and does not see why: if there are such games, set access.key as well, and put the key into their URLs',
    )
  return findings
}

/** The apps with such settings: of those that are listed, or else the default app. */
function appsWhere(config: Config, isSuch: (settings: AppSettings) => boolean): App[] {
  const listed = listedApps(config)
  const apps = listed.length === 0 ? [config.defaultApp] : listed
  return apps.filter((app) => isSuch(settingsOf(config, app)))
}
