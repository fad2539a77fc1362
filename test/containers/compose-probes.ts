import { readFile } from 'node:fs/promises'
import { decodeNodeMessage, type TurnCredentials as IssuedCredentials } from '@peerage/protocol'
import type { Page } from 'playwright-core'
import type { Page as FirefoxPage } from 'puppeteer-core'
import { io } from 'socket.io-client'
import type { TurnCredentials } from '@peerage/test-support/coturn.js'
import { startChild } from '@peerage/test-support/process.js'
import { OPEN_MS } from '../e2e/page-kit.js'
import { openTurnClient, type Answer } from '../nat/turn-client.js'
import type { Engine } from './engine.js'

// What the engine and the services of docker-compose.yml say.

/** The containers of a Compose project as they start and become healthy. */
export interface StartEvents {
  /** When the engine first said this of a service, in nanoseconds. Throws if it has not. */
  first(service: string, status: 'start' | 'health_status: healthy'): bigint
  stop(): Promise<void>
}

const TURN_PORT = 3478

/** Listens to the engine from now on. Keeps the last 60 events: ask before services start again. */
export async function watchStarts(engine: Engine, project: string): Promise<StartEvents> {
  const filters = ['event=start', 'event=health_status', `label=com.docker.compose.project=${project}`]
  const format = '{{.TimeNano}} {{.Status}} {{.Actor.Attributes.name}}'
  const events = await startChild({
    command: process.env['PEERAGE_TEST_DOCKER'] ?? 'docker',
    args: ['events', ...filters.flatMap((filter) => ['--filter', filter]), '--format', format],
    env: { DOCKER_HOST: engine.host },
  })
  return {
    first: (service, status) => {
      const line = new RegExp(`^(\\d+) ${status} ${project}-${service}-1$`, 'm').exec(events.output())
      if (line?.[1] === undefined) throw new Error(`no ${status} of ${service}: ${events.output()}`)
      return BigInt(line[1])
    },
    stop: () => events.stop(),
  }
}

/** The sum of a metric over its labels, from the admin port of a node. */
export async function metricOf(admin: string, name: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text()
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))]
  return values.reduce((sum, [, value]) => sum + Number(value), 0)
}

/** The TURN server and the credentials that a node gives a page of its own origin. */
export async function turnOf(origin: string): Promise<IssuedCredentials> {
  const socket = io(origin, {
    path: '/peerage/',
    transports: ['websocket'],
    auth: { v: 1, secret: 'A'.repeat(22), name: 'compose-turn' },
    extraHeaders: { origin },
  })
  try {
    await new Promise((resolve) => socket.once('welcome', resolve))
    const answer = new Promise<string>((resolve) => socket.once('ice', resolve))
    socket.emit('ice', { id: 1 })
    const read = decodeNodeMessage('ice', await answer)
    if (!read.ok || read.value.type !== 'ice' || read.value.turn === null)
      throw new Error('the node gave no credentials')
    return read.value.turn
  } finally {
    socket.disconnect()
  }
}

/** What coturn says to a request for a relay, and then to one for a path from it to this machine's loopback. */
export async function relayAnswers(credentials: TurnCredentials): Promise<[relay: Answer, inwards: Answer]> {
  const client = await openTurnClient(TURN_PORT, credentials)
  try {
    return [await client.allocate(), await client.permit(Buffer.from([127, 0, 0, 1]))]
  } finally {
    client.close()
  }
}

/** What the kernel lets a process do (capabilities(7)). */
interface Rights {
  account: number
  /** The capabilities that it has or may take, as bits. */
  held: number
  /** The capabilities that a program may get when this process runs it. */
  bound: number
  /** Whether a program with the setuid bit gives it more rights. */
  mayGain: boolean
}

/** Reads the rights of a process, which may run in a container of this machine. */
export async function rightsOf(pid: number): Promise<Rights> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): string => new RegExp(`^${name}:\\t(\\S+)`, 'm').exec(status)?.[1] ?? ''
  const bits = (name: string): number => Number(`0x${field(name)}`)
  return {
    account: Number(field('Uid')),
    held: bits('CapEff') | bits('CapPrm') | bits('CapInh') | bits('CapAmb'),
    bound: bits('CapBnd'),
    mayGain: field('NoNewPrivs') !== '1',
  }
}

/** Sends a text from Firefox's page to Chromium's. Their channel carries it: the nodes relay no texts of the page. */
export async function textBetween(guest: FirefoxPage, host: Page, text: string): Promise<void> {
  // Firefox draws nothing in a tab behind another one, and puppeteer waits until the page is drawn.
  await guest.bringToFront()
  const isOpen = (await guest.$('details[open] textarea[name=text]')) !== null
  if (!isOpen) await guest.locator('::-p-xpath(//summary[contains(., "Send a text")])').click()
  await guest.locator('textarea[name=text]').fill(text)
  await guest.locator('.text-form button').click()
  await host.getByText(text).first().waitFor({ timeout: OPEN_MS })
}
