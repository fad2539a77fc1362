/** A stay that nobody could take up again once its process has ended. */
export interface Departing {
  /** Writes what is to be said before it returns, and resolves when the node and the other peers have read it. */
  depart(): Promise<unknown>
}

type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
type Heard = Signal | 'exit'

/** As much of Node's `process` as is needed. */
interface Process {
  readonly pid: number
  prependListener(event: Heard, listener: () => void): unknown
  off(event: Heard, listener: () => void): unknown
  listenerCount(event: Heard): number
  kill(pid: number, signal: Signal): unknown
  exit(code: number): unknown
}

/** What a shell expects of a process that a signal ended: 128 and its number. */
const EXIT_CODES: Record<Signal, number> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Whoever sent the signal waits so long at most. */
const LEAVE_MS = 500

/** All stays of one process. It listens while there are any: signal listeners do not keep a process alive. */
export class Departures {
  readonly #process: Process
  readonly #stays = new Set<Departing>()
  readonly #listeners: [Heard, () => void][]
  #leaving = false

  constructor(process: Process) {
    this.#process = process
    this.#listeners = [
      // Nothing can be waited for any more; what is written here still goes out.
      ['exit', () => void this.#departAll()],
      ...SIGNALS.map((signal): [Signal, () => void] => [signal, () => this.#signalled(signal)]),
    ]
  }

  add(stay: Departing): void {
    if (this.#stays.size === 0) this.#listen()
    this.#stays.add(stay)
  }

  delete(stay: Departing): void {
    if (this.#stays.delete(stay) && this.#stays.size === 0) this.#ignore()
  }

  // First of all listeners: a `once` of the application is still counted then.
  #listen(): void {
    for (const [event, listener] of this.#listeners) this.#process.prependListener(event, listener)
  }

  #ignore(): void {
    for (const [event, listener] of this.#listeners) this.#process.off(event, listener)
  }

  #signalled(signal: Signal): void {
    if (this.#process.listenerCount(signal) > 1) {
      // Not ours to decide. Packages such as signal-exit look whether they are alone, so this one is not seen meanwhile.
      this.#ignore()
      queueMicrotask(() => this.#stays.size > 0 && this.#listen())
      return
    }
    // Asked twice: at once.
    if (this.#leaving) return this.#raise(signal)
    this.#leaving = true
    const late = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_MS))
    void Promise.race([this.#departAll(), late]).then(() => this.#raise(signal))
  }

  #raise(signal: Signal): void {
    const { pid } = this.#process
    this.#ignore()
    this.#process.kill(pid, signal)
    // The first process of a container is not ended by a signal that nobody listens for.
    if (pid === 1 && this.#process.listenerCount(signal) === 0) this.#process.exit(EXIT_CODES[signal])
  }

  async #departAll(): Promise<void> {
    await Promise.allSettled([...this.#stays].map((stay) => stay.depart()))
  }
}

/** Of several copies of this package in one process each would see a listener that is not its own: they share one. */
const SHARED = Symbol.for('@peerage/client departures 1')

/** The stay leaves when this process ends; returns the way to take that back. Outside of Node it does nothing. */
export function leaveOnExit(stay: Departing): () => void {
  const departures = departuresOf(globalThis)
  departures?.add(stay)
  return () => departures?.delete(stay)
}

function departuresOf(scope: { process?: unknown; [SHARED]?: Pick<Departures, 'add' | 'delete'> }) {
  // What bundlers put in the place of `process` ends no process.
  if (isProcess(scope.process)) scope[SHARED] ??= new Departures(scope.process)
  return scope[SHARED]
}

function isProcess(process: unknown): process is Process {
  if (typeof process !== 'object' || process === null) return false
  const { versions, kill, prependListener } = process as Record<string, unknown>
  const isNode = typeof versions === 'object' && versions !== null && 'node' in versions
  return isNode && typeof kill === 'function' && typeof prependListener === 'function'
}
