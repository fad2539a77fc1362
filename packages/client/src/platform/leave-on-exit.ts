/** A session that gives its name back when the process ends, because no later process could reclaim it. */
export interface Departing {
  /** Writes its last frames before it returns. Resolves when the node and the other peers have read them. */
  depart(): Promise<unknown>
}

type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
type Heard = Signal | 'exit' | 'removeListener'
type Listener = (event: unknown) => void

/** The part of Node's `process` that we use. */
interface Process {
  readonly pid: number
  prependListener(event: Heard, listener: Listener): unknown
  off(event: Heard, listener: Listener): unknown
  listenerCount(event: Heard): number
  listeners(event: Heard): unknown[]
  kill(pid: number, signal: Signal): unknown
  exit(code: number): unknown
}

/** The exit code that a shell expects of a process that a signal ended: 128 plus the signal's number. */
const EXIT_CODES: Record<Signal, number> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** How long a signal may take to end the process, in milliseconds. */
const LEAVE_MS = 500

/**
 * The sessions of a process that give their names back when it ends. It listens for signals while there are any. Signal
 * listeners do not keep a process alive.
 */
export class Departures {
  readonly #process: Process
  readonly #sessions = new Set<Departing>()
  readonly #listeners: ReadonlyMap<Heard, Listener>
  /** The signals whose own listener is removed until the other listeners have run. */
  readonly #hidden = new Set<Signal>()
  /** The signals that lost a listener since the last microtask. That listener may have run for the current signal. */
  readonly #removed = new Set<Signal>()
  #leaving = false

  constructor(process: Process) {
    this.#process = process
    this.#listeners = new Map<Heard, Listener>([
      // This must be the first entry. It is then the first listener that #ignore removes, so it does not add the others
      // again.
      ['removeListener', (event) => isSignal(event) && this.#onRemoved(event)],
      // Nothing can be awaited any more, but frames that are written now still go out.
      ['exit', () => void this.#departAll()],
      ...SIGNALS.map((signal): [Signal, Listener] => [signal, () => this.#signalled(signal)]),
    ])
  }

  add(session: Departing): void {
    if (this.#sessions.size === 0) this.#listen()
    this.#sessions.add(session)
  }

  delete(session: Departing): void {
    if (this.#sessions.delete(session) && this.#sessions.size === 0) this.#ignore()
  }

  #listen(): void {
    for (const event of this.#listeners.keys()) this.#hear(event)
  }

  // As the first listener, ours can count the others before they run.
  #hear(event: Heard): void {
    const listener = this.#listeners.get(event)
    if (listener) this.#process.prependListener(event, listener)
  }

  #ignore(): void {
    this.#hidden.clear()
    for (const [event, listener] of this.#listeners) this.#process.off(event, listener)
  }

  /** Packages such as signal-exit check whether their listener is the only one. So we remove ours while they run. */
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
    // No listener is left, and the signal is often raised again right now. Without a listener of ours, that would end
    // the process before the names are given back.
    this.#hidden.delete(signal)
    this.#hear(signal)
  }

  #signalled(signal: Signal): void {
    const othersHaveRun = this.#removed.has(signal)
    const areOthersLeft = this.#areOthersLeft(signal)
    if (areOthersLeft) this.#hide(signal)
    // If the application listens for the signal, it decides itself. A `once` listener may have run and removed itself
    // before this listener ran.
    if (areOthersLeft || othersHaveRun) return
    // A second signal ends the process at once.
    if (this.#leaving) return this.#raise(signal)
    this.#leaving = true
    const late = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_MS))
    void Promise.race([this.#departAll(), late]).then(() => this.#raise(signal))
  }

  // Do not count listeners: after a program has removed all listeners and added them again, ours is there twice.
  #areOthersLeft(signal: Signal): boolean {
    const own = this.#listeners.get(signal)
    return this.#process.listeners(signal).some((listener) => listener !== own)
  }

  #raise(signal: Signal): void {
    const { pid } = this.#process
    this.#ignore()
    this.#process.kill(pid, signal)
    // A signal without a listener does not end process 1, which is the first process of a container.
    if (pid === 1 && this.#process.listenerCount(signal) === 0) this.#process.exit(EXIT_CODES[signal])
  }

  async #departAll(): Promise<void> {
    await Promise.allSettled([...this.#sessions].map((session) => session.depart()))
  }
}

function isSignal(event: unknown): event is Signal {
  return SIGNALS.some((signal) => signal === event)
}

/**
 * All copies of this package in a process share it. Otherwise each copy would mistake the listener of another copy for one
 * of the application.
 */
const SHARED = Symbol.for('@peerage/client departures 1')

/**
 * Makes the session leave when this process ends. Returns a function that cancels this. It does nothing outside of
 * Node.
 */
export function leaveOnExit(session: Departing): () => void {
  const departures = departuresOf(globalThis)
  departures?.add(session)
  return () => departures?.delete(session)
}

function departuresOf(scope: { process?: unknown; [SHARED]?: Pick<Departures, 'add' | 'delete'> }) {
  // Bundlers may replace `process` with an object that cannot end the process.
  if (isProcess(scope.process)) scope[SHARED] ??= new Departures(scope.process)
  return scope[SHARED]
}

function isProcess(process: unknown): process is Process {
  if (typeof process !== 'object' || process === null) return false
  const { versions, kill, prependListener } = process as Record<string, unknown>
  const isNode = typeof versions === 'object' && versions !== null && 'node' in versions
  return isNode && typeof kill === 'function' && typeof prependListener === 'function'
}
