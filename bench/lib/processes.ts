import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { startChild, type Child } from '@peerage/test-support/process.js'
import { readAnswer, type Numbers } from './channel.js'

/** A Node process that is measured, or one that generates load. */
export interface BenchProcess {
  readonly pid: number
  /** The JSON line with which the process reported that it was ready. */
  readonly ready: Readonly<Record<string, unknown>>
  /** Asks the hook that is preloaded into every process: `cpu`, `memory`, `lag-start`, `lag`. */
  hook(command: string): Promise<Numbers>
  /** Asks the program itself (the load generators). */
  ask(to: string, command: string, options: Record<string, unknown>, deadlineMs?: number): Promise<Numbers>
  /** Sends SIGKILL and waits until the process is gone. */
  stop(): Promise<void>
}

export interface ProcessOptions {
  script: string
  args?: readonly string[]
  nodeArgs?: readonly string[]
}

const READY_DEADLINE_MS = 20_000
const ANSWER_DEADLINE_MS = 30_000
const HOOK = new URL('./hook.js', import.meta.url).href

/** The root of the repository, relative to bench/dist/bench/lib. */
export const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url))

/** Starts a script with the hook preloaded and waits for its ready line, `{"msg":"ready",…}`. */
export async function startProcess(options: ProcessOptions): Promise<BenchProcess> {
  const hooked = ['--expose-gc', '--import', HOOK, ...(options.nodeArgs ?? [])]
  const asked = new Questions()
  const child = await startChild({
    command: process.execPath,
    args: [...hooked, options.script, ...(options.args ?? [])],
    cwd: tmpdir(),
    env: { NODE_ENV: 'production' },
    onMessage: (message) => asked.answered(message),
  })
  try {
    const ready = await child.line(readReady, READY_DEADLINE_MS)
    void child.stopped.then(() => asked.end(new Error(`process ${child.pid} ended:\n${child.output()}`)))
    const ask: BenchProcess['ask'] = (to, command, rest, deadlineMs = ANSWER_DEADLINE_MS) =>
      asked.ask(child, { to, command, options: rest }, deadlineMs)
    return {
      pid: child.pid,
      ready,
      hook: (command) => ask('hook', command, {}),
      ask,
      stop: () => child.stop(),
    }
  } catch (error) {
    await child.stop()
    throw new Error(`${options.script}: ${String(error)}`, { cause: error })
  }
}

function readReady(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{') || !line.includes('"ready"')) return undefined
  const record: unknown = JSON.parse(line)
  if (typeof record !== 'object' || record === null) return undefined
  return 'msg' in record && record.msg === 'ready' ? { ...record } : undefined
}

interface Question {
  resolve: (numbers: Numbers) => void
  reject: (error: Error) => void
}

/** The questions that one process has not answered yet. */
class Questions {
  readonly #waiting = new Map<number, Question>()
  #last = 0

  ask(child: Child, question: Record<string, unknown>, deadlineMs: number): Promise<Numbers> {
    const id = ++this.#last
    let timer: NodeJS.Timeout | undefined
    const answer = new Promise<Numbers>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      const late = `no answer to ${String(question['command'])} within ${deadlineMs} ms`
      timer = setTimeout(() => reject(new Error(`${late}:\n${child.output()}`)), deadlineMs)
      child.send({ id, ...question })
    })
    return answer.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(id)
    })
  }

  answered(message: unknown): void {
    const answer = readAnswer(message)
    if (answer === undefined) return
    const question = this.#waiting.get(answer.id)
    if ('error' in answer) question?.reject(new Error(answer.error))
    else question?.resolve(answer.numbers)
  }

  end(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}
