import { createDesk } from './desk.js'
import { errorOf } from './failure.js'
import {
  transferable,
  type Desk,
  type Order,
  type Outcome,
  type Report,
  type TaskName,
  type Tasks,
} from './protocol.js'

/** The part of a Worker that is used here. */
export interface WorkerLike {
  postMessage(message: Order, transfer: Transferable[]): void
  addEventListener(type: 'message', listener: (event: { data: Report }) => void): void
  addEventListener(type: 'error' | 'messageerror', listener: () => void): void
  terminate(): void
}

/** Where the tasks are done. */
export interface StorageDesk {
  /** True: in a worker. */
  readonly isInWorker: boolean
  /** Whether files of the browser's own storage can be written. */
  readonly hasFiles: boolean
  /** Why there is no worker, in one line for people. */
  readonly trouble: string | undefined
  /** @throws StoreError or SourceError */
  ask<K extends TaskName>(task: K, request: Tasks[K]['request']): Promise<Tasks[K]['answer']>
  /** Ends the worker. Tasks that are not done end with an error. */
  close(): void
}

const START_DEADLINE_MS = 20_000
const NO_WORKER =
  'The part of this page that works in the background did not start, so received files are kept in memory. A reload may help.'
const STOPPED = 'The part of this page that stores files has stopped. Reload the page.'

/** Starts the storage worker of this page. */
export function startWorker(): WorkerLike {
  return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'storage' })
}

/**
 * Starts the worker. If it does not start, the page itself does the tasks, except for those that need files.
 *
 * @example
 * const desk = await openDesk(startWorker)
 * const source = workerSource(desk, file, file.name)
 */
export async function openDesk(start: () => WorkerLike): Promise<StorageDesk> {
  let worker: WorkerLike
  try {
    worker = start()
  } catch {
    return deskOfPage() // the policy of the browser or of the page allows no worker
  }
  const line = new WorkerLine(worker)
  const hasFiles = await line.ready
  if (hasFiles !== undefined)
    return {
      isInWorker: true,
      hasFiles,
      trouble: undefined,
      ask: (task, request) => line.ask(task, request),
      close: () => line.close(),
    }
  line.close()
  return deskOfPage()
}

function deskOfPage(): StorageDesk {
  const desk = createDesk(undefined)
  return {
    isInWorker: false,
    hasFiles: false,
    trouble: NO_WORKER,
    ask: async (task, request) => answerOf(await doTask(desk, task, request)),
    close: () => {},
  }
}

function doTask<K extends TaskName>(desk: Desk, task: K, request: Tasks[K]['request']): Promise<Outcome<K>> {
  return desk[task](request)
}

function answerOf<K extends TaskName>(outcome: Outcome<K>): Tasks[K]['answer'] {
  if (outcome.ok) return outcome.answer
  throw errorOf(outcome.failure)
}

/** The tasks that the worker has, each with a number. */
class WorkerLine {
  /** Whether the worker can write files. Undefined: it did not start. */
  readonly ready: Promise<boolean | undefined>
  readonly #worker: WorkerLike
  readonly #waiting = new Map<number, (outcome: Outcome<TaskName>) => void>()
  #isOver = false
  #nextId = 1

  constructor(worker: WorkerLike) {
    this.#worker = worker
    this.ready = new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), START_DEADLINE_MS)
      const started = (hasFiles: boolean | undefined): void => {
        clearTimeout(timer)
        resolve(hasFiles)
      }
      worker.addEventListener('message', ({ data }) => {
        if (data.type === 'ready') started(data.hasFiles)
        else this.#end(data.id, data.outcome)
      })
      for (const type of ['error', 'messageerror'] as const)
        worker.addEventListener(type, () => {
          started(undefined)
          this.close()
        })
    })
  }

  async ask<K extends TaskName>(task: K, request: Tasks[K]['request']): Promise<Tasks[K]['answer']> {
    const id = this.#nextId++
    const outcome = await new Promise<Outcome<TaskName>>((resolve) => {
      this.#waiting.set(id, resolve)
      if (this.#isOver) return this.#stop(id)
      // The two unions are of the same tasks, which TypeScript cannot see through the type parameter.
      this.#worker.postMessage({ id, task, request } as Order, transferable(request))
    })
    return answerOf(outcome as Outcome<K>)
  }

  close(): void {
    this.#isOver = true
    this.#worker.terminate()
    for (const id of this.#waiting.keys()) this.#stop(id)
  }

  #stop(id: number): void {
    this.#end(id, { ok: false, failure: { kind: 'store', reason: 'failed', message: STOPPED } })
  }

  #end(id: number, outcome: Outcome<TaskName>): void {
    this.#waiting.get(id)?.(outcome)
    this.#waiting.delete(id)
  }
}
