import { createServer, get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'
import { inTurn } from '@peerage/core'
import type { Config } from '../config/schema.js'
import {
  bounded,
  closersOf,
  closeServer,
  listenPair,
  listenTcp,
  localHost,
  PortUnavailable,
  type ListenAt,
} from '../http/listen.js'
import { reasonOf } from '../lib/reason.js'
import type { Finding } from './doctor-checks.js'

/** A node on this machine answers within milliseconds. */
const ANSWER_WITHIN_MS = 1_000

/**
 * Listens on each port for a moment, as `serve` would. When a node of Peerage has the first port, doctor most likely runs
 * beside the node of these settings. Then its ports are taken, and that is no failure.
 */
export async function checkPorts(config: Config): Promise<Finding[]> {
  const { host, port, p2p, admin, api, links } = config
  let isBesideNode = false
  const attempt = async (subject: string, at: ListenAt, act: () => Promise<string>): Promise<Finding> => {
    try {
      return { verdict: 'ok', subject, text: await act() }
    } catch (error) {
      const isTaken = error instanceof PortUnavailable && error.isTaken
      if (isTaken && subject === 'port') isBesideNode = await isNode(config)
      if (!isTaken || !isBesideNode) return { verdict: 'fail', subject, text: reasonOf(error) }
      const text = `TCP ${at.port} on ${at.host} is taken, and a node of Peerage runs here: fine, if that is the node of these settings`
      return { verdict: 'warn', subject, text }
    }
  }
  const single = (subject: string, at: ListenAt): Promise<Finding> =>
    attempt(subject, at, async () => {
      const server = bounded(createServer())
      await listenTcp(server, at)
      await closeServer(server)
      return freePort(at)
    })
  const main = { host, port, setting: 'port (--port)' }
  const findings = [
    await attempt('port', main, async () => {
      const server = bounded(createServer())
      const pair = await listenPair(server, main, p2p.useAsP2PServer)
      await inTurn([...closersOf(pair.udp), () => closeServer(server)], () => {})
      const udp = port === 0 ? 'the next one for UDP' : `UDP ${port + 1}`
      return `${freePort(main)}${p2p.useAsP2PServer ? `, and ${udp} for the P2P server` : ''}`
    }),
  ]
  if (api.port !== null)
    findings.push(
      await single('API port', { host: api.host ?? host, port: api.port, setting: 'api.port (--api-port)' }),
    )
  if (admin.port !== null)
    findings.push(
      await single('admin port', { ...admin, port: admin.port, setting: 'admin.port (--admin-port)' }),
    )
  if (links.host !== null)
    findings.push(
      await single('links port', { ...links, host: links.host, setting: 'links.port (--links-port)' }),
    )
  return findings
}

const freePort = ({ host, port }: ListenAt): string =>
  port === 0 ? `any free TCP port of ${host} will do` : `TCP ${port} on ${host} is free`

/** Whether a node answers at the main port of this configuration. */
async function isNode({ host, port, tls }: Config): Promise<boolean> {
  const url = `${localHost(host)}:${port}/version`
  const options = { timeout: ANSWER_WITHIN_MS, agent: false } as const
  return new Promise((resolve) => {
    const request =
      tls.cert === null
        ? getHttp(`http://${url}`, options)
        : // Nothing secret is asked, and the certificate is for another name.
          getHttps(`https://${url}`, { ...options, rejectUnauthorized: false })
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.length > LONGEST_ANSWER) request.destroy()
      })
      response.on('end', () => resolve(isVersion(text))).on('error', () => resolve(false))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false)).on('close', () => resolve(false))
  })
}

const LONGEST_ANSWER = 1_000

function isVersion(text: string): boolean {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === 'object' && answer !== null && 'version' in answer && 'protocol' in answer
  } catch {
    return false // another program
  }
}
