/** A stay that nobody could take up again once its process has ended. */
export interface Departing {
  /** Writes what is to be said before it returns, and resolves when the node and the other peers have read it. */
  depart(): Promise<unknown>
}

type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
type Heard = Signal | 'exit' | 'removeListener'
type Listener = (event: unknown) => void

/** As much of Node's `process` as is needed. */
interface Process {
  readonly pid: number
  prependListener(event: Heard, listener: Listener): unknown
  off(event: Heard, listener: Listener): unknown
  listenerCount(event: Heard): number
  listeners(event: Heard): unknown[]
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
  readonly #listeners: ReadonlyMap<Heard, Listener>
  /** Whose listener of ours is off until the other listeners have run. */
  readonly #hidden = new Set<Signal>()
  /** Of which a listener was removed since the last microtasks: it may have been called by the signal that is heard now. */
  readonly #removed = new Set<Signal>()
  #leaving = false

  constructor(process: Process) {
    this.#process = process
    this.#listeners = new Map<Heard, Listener>([
      // The first here is the first to go: what this class takes off itself is not put back.
      ['removeListener', (event) => isSignal(event) && this.#onRemoved(event)],
      // Nothing can be waited for any more; what is written here still goes out.
      ['exit', () => void this.#departAll()],
      ...SIGNALS.map((signal): [Signal, Listener] => [signal, () => this.#signalled(signal)]),
    ])
  }

  add(stay: Departing): void {
    if (this.#stays.size === 0) this.#listen()
    this.#stays.add(stay)
  }

  delete(stay: Departing): void {
    if (this.#stays.delete(stay) && this.#stays.size === 0) this.#ignore()
  }

  #listen(): void {
    for (const event of this.#listeners.keys()) this.#hear(event)
  }

  // First of all listeners: others can then be counted before they run.
  #hear(event: Heard): void {
    const listener = this.#listeners.get(event)
    if (listener) this.#process.prependListener(event, listener)
  }

  #ignore(): void {
    this.#hidden.clear()
    for (const [event, listener] of this.#listeners) this.#process.off(event, listener)
  }

  /** Packages such as signal-exit look whether they are alone: ours is not seen while they do. */
  #hide(signal: Signal): void {
    const listener = this.#listeners.get(signal)
    if (!listener) return
    this.#hidden.add(signal)
    this.#process.off(signal, listener)
    queueMicrotask(() => this.#hidden.delete(signal) && this.#hear(signal))
  }

  #onRemoved(signal: Signal): void {
    this.#removed.add(signal)
    queueMicrotask(() => this.#removed.delete(signal))
    if (this.#process.listenerCount(signal) > 0) return
    // Nobody listens any more, and the signal is often raised again at once. That would end the process with its names.
    this.#hidden.delete(signal)
    this.#hear(signal)
  }

  #signalled(signal: Signal): void {
    const othersHaveRun = this.#removed.has(signal)
    const areOthersLeft = this.#areOthersLeft(signal)
    if (areOthersLeft) this.#hide(signal)
    // What an application listens for is its own. A `once` that ran before this listener is not counted any more.
    if (areOthersLeft || othersHaveRun) return
    // Asked twice: at once.
    if (this.#leaving) return this.#raise(signal)
    this.#leaving = true
    const late = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_MS))
    void Promise.race([this.#departAll(), late]).then(() => this.#raise(signal))
  }

  // Who removes all listeners for a while and puts them back makes two of ours: it came back by itself.
  #areOthersLeft(signal: Signal): boolean {
    const own = this.#listeners.get(signal)
    return this.#process.listeners(signal).some((listener) => listener !== own)
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

function isSignal(event: unknown): event is Signal {
  return SIGNALS.some((signal) => signal === event)
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
