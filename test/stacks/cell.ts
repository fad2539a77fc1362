import type { Commands, Platform, Stack, StackPeer } from './peers.js'

/** The measurements and the failures of one peer that calls another. */
export interface CellResult {
  caller: Stack
  callee: Stack
  /** Milliseconds from each call to the open channel, in the order of the calls. */
  openMs: number[]
  /** For each channel that took long to open: what both sides report about their connections. */
  slow: { openMs: number; states: string[] }[]
  /** MB a second from the first byte that a side sends until the other side has all bytes. */
  callerRate?: number
  calleeRate?: number
  /** The most bytes that waited in a stream of either side. */
  mostBuffered: number
  /** From one side's close to the other side's `close` event. `hangUp` closes the whole P2P controller. */
  seenMs: Partial<Record<`${Role} ${Ending}`, number>>
  /** How long each side's `close()` took to resolve. */
  closeMs: number[]
  failures: Failure[]
}

export type Role = 'caller' | 'callee'
export type Ending = 'close' | 'hangUp'

export interface Failure {
  /** What was tried, and which side did it. */
  step: string
  error: string
  /** What both sides report about their connections and the events of these, oldest first. */
  states: string[]
}

export interface CellOptions {
  url: string
  bytes: number
}

type Sides = Record<Role, StackPeer>

const OPEN_DEADLINE_MS = 15_000
/** A lost DTLS flight is sent again after 1 s. */
const SLOW_MS = 900
/** The slowest stacks take 2 s for 10 MB, and machines are busy. */
const TRANSFER_DEADLINE_MS = 60_000
/** The promised time. A close that is seen later is a failure, which says how late it was. */
const CLOSE_SEEN_MS = 2_000
const CLOSE_DEADLINE_MS = 40_000
/** How long to wait for a channel that nobody asked for, which with most stacks would open within this time. */
const OPENS_BY_ITSELF_MS = 500
/** Additional time for the answer to a command. */
const ANSWER_MS = 5_000
/** PP19: what a stream may hold when the next message is added, and that message. */
const BUFFERED_BYTES_MAX = (1024 + 16) * 1024

const ROLES = ['caller', 'callee'] as const
const other: Record<Role, Role> = { caller: 'callee', callee: 'caller' }

let cells = 0

export async function runCell(
  stacks: Record<Role, Stack>,
  platforms: Record<Role, Platform>,
  options: CellOptions,
): Promise<CellResult> {
  return new Cell(stacks, platforms, options).run()
}

class Cell {
  readonly #result: CellResult
  readonly #platforms: Record<Role, Platform>
  readonly #options: CellOptions
  #sides: Sides | undefined
  #open = false
  #calls = 0
  #names = { caller: '', callee: '' }

  constructor(stacks: Record<Role, Stack>, platforms: Record<Role, Platform>, options: CellOptions) {
    this.#result = { ...stacks, openMs: [], slow: [], mostBuffered: 0, seenMs: {}, closeMs: [], failures: [] }
    this.#platforms = platforms
    this.#options = options
  }

  async run(): Promise<CellResult> {
    const result = this.#result
    const isOpen = await this.#try('caller opens a channel', () => Promise.resolve())
    if (isOpen) {
      await this.#try('caller sends', async (sides) => {
        result.callerRate = await this.#transfer(sides, 'caller')
      })
      await this.#try('callee sends', async (sides) => {
        result.calleeRate = await this.#transfer(sides, 'callee')
      })
      await this.#try('caller closes', (sides) => this.#end(sides, 'caller', 'close'))
      await this.#try('callee closes', (sides) => this.#end(sides, 'callee', 'close'))
      await this.#try('nothing opens by itself', (sides) => this.#refuseOthers(sides), {
        needsChannel: false,
      })
      for (const role of ROLES) {
        await this.#try(`${role} hangs up`, (sides) => this.#end(sides, role, 'hangUp'))
        // After `p2p.close()` this side opens no channels any more.
        await this.#leave()
      }
    }
    await this.#leave()
    return result
  }

  /** Runs a step, which by default starts with an open channel. After a failure the next step gets two new peers. */
  async #try(
    step: string,
    act: (sides: Sides) => Promise<void>,
    { needsChannel = true } = {},
  ): Promise<boolean> {
    try {
      const sides = needsChannel ? await this.#ensureOpen() : this.#sides
      if (sides) await act(sides)
      return true
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error)
      this.#result.failures.push({ step, error: said, states: await this.#states() })
      await this.#leave()
      return false
    }
  }

  async #ensureOpen(): Promise<Sides> {
    const sides = (this.#sides ??= await this.#start())
    if (this.#open) return sides
    const call = { to: this.#names.callee, deadlineMs: OPEN_DEADLINE_MS }
    const deadlineMs = OPEN_DEADLINE_MS + ANSWER_MS
    const opening = Promise.all([
      sides.caller.ask('call', call, deadlineMs),
      sides.callee.ask('opened', {}, deadlineMs),
    ])
    const [{ ms }] = await opening.catch((error: unknown) => {
      throw new Error(`no channel opened: ${error instanceof Error ? error.message : String(error)}`)
    })
    this.#open = true
    this.#calls++
    this.#result.openMs.push(ms)
    if (ms > SLOW_MS) this.#result.slow.push({ openMs: ms, states: await this.#states() })
    return sides
  }

  async #start(): Promise<Sides> {
    const number = ++cells
    this.#calls = 0
    this.#names = { caller: `caller-${number}`, callee: `callee-${number}` }
    const [caller, callee] = await Promise.all([this.#platforms.caller.peer(), this.#platforms.callee.peer()])
    const sides = (this.#sides = { caller, callee })
    const { url } = this.#options
    await Promise.all(ROLES.map((role) => sides[role].ask('connect', { url, name: this.#names[role] })))
    return sides
  }

  /** Returns MB a second. */
  async #transfer(sides: Sides, from: Role): Promise<number> {
    const { bytes } = this.#options
    const [sent, received] = await Promise.all([
      sides[from].ask('send', { bytes }, TRANSFER_DEADLINE_MS),
      sides[other[from]].ask('receive', { bytes }, TRANSFER_DEADLINE_MS),
    ])
    const { mostBuffered } = sent
    this.#result.mostBuffered = Math.max(this.#result.mostBuffered, mostBuffered)
    if (received.bytes !== bytes) throw new Error(`${received.bytes} of ${bytes} bytes arrived`)
    if (received.sha256 !== sent.sha256) throw new Error('the received bytes have another SHA-256')
    if (mostBuffered > BUFFERED_BYTES_MAX) throw new Error(`${mostBuffered} bytes waited in the stream`)
    return bytes / 2 ** 20 / (Math.max(received.at - sent.startedAt, 1) / 1_000)
  }

  async #end(sides: Sides, from: Role, how: Ending): Promise<void> {
    const { seenMs, closeMs } = this.#result
    const closed = sides[other[from]].ask('closed', {}, CLOSE_DEADLINE_MS)
    const [own, seen] = await Promise.all([sides[from].ask(how, {}, CLOSE_DEADLINE_MS), closed])
    this.#open = false
    closeMs.push(own.ms)
    const ms = (seenMs[`${from} ${how}`] = seen.at - own.at)
    if (ms > CLOSE_SEEN_MS) throw new Error(`the other side saw it after ${ms} ms (${seen.reason})`)
    if (own.ms > CLOSE_SEEN_MS)
      throw new Error(`close took ${own.ms} ms, and the other side saw it after ${ms} ms`)
  }

  /** Checks that each call opened one channel, and that no other channel opened: a closed channel stays closed. */
  async #refuseOthers(sides: Sides): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, OPENS_BY_ITSELF_MS))
    for (const role of ROLES) {
      const { opened } = await sides[role].ask('state', {})
      if (opened !== this.#calls)
        throw new Error(`${this.#calls} calls, and ${opened} channels opened at the ${role}`)
    }
  }

  async #states(): Promise<string[]> {
    const lines: [number, string][] = []
    const states: string[] = []
    for (const role of ROLES) {
      const side = this.#sides?.[role]
      const said: Commands['state']['answer'] | string = side
        ? await side.ask('state', {}).catch(String)
        : 'it did not start'
      const who = `${role} (${this.#result[role]})`
      if (typeof said === 'string') states.push(`${who}: ${said}`)
      else {
        states.push(...said.states.map((line) => `${who}: ${line}`))
        lines.push(...said.trace.map(([at, what]): [number, string] => [at, `${who}: ${what}`]))
      }
    }
    const [first = [0, '']] = lines.sort(([a], [b]) => a - b)
    return [...states, ...lines.map(([at, line]) => `${at - first[0]} ms, ${line}`)]
  }

  async #leave(): Promise<void> {
    const sides = this.#sides
    this.#sides = undefined
    this.#open = false
    if (!sides) return
    const left = Object.values(sides).map(async (side) => {
      // We also end a side that no longer answers.
      await side.ask('leave', {}, 2_000).catch(() => undefined)
      await side.stop()
    })
    await Promise.all(left)
  }
}
