import { listedApps, settingsOf } from '../config/app-settings.js'
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
  const listed = listedApps(config)
  const apps = (listed.length === 0 ? [config.defaultApp] : listed).filter(
    (app) => settingsOf(config, app).access.mode === 'token',
  )
  if (apps.length === 0) return findings
  const clients = on.map(({ client }) => client).join(', ')
  const why = `clients of ${clients} have their token in a fixed URL, so a token that expires locks them out when they connect again`
  const advice = 'for them give the app a key or a webhook, or tokens that live longer than a page'
  return [...findings, { verdict: 'warn', subject, text: `${apps.join(', ')}: ${why}: ${advice}` }]
}
