import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readAnswer, type Numbers } from './channel.js'

/** A Node process under measurement, or one that makes load. */
export interface BenchProcess {
  readonly pid: number
  /** The JSON line with which it said that it was ready. */
  readonly ready: Readonly<Record<string, unknown>>
  /** Asks the hook preloaded into every process: `cpu`, `memory`, `lag-start`, `lag`. */
  hook(command: string): Promise<Numbers>
  /** Asks the program itself (the load generators). */
  ask(to: string, command: string, options: Record<string, unknown>, deadlineMs?: number): Promise<Numbers>
  /** SIGKILL, and waits until it is gone. */
  stop(): Promise<void>
  output(): string
}

export interface ProcessOptions {
  script: string
  args?: readonly string[]
  nodeArgs?: readonly string[]
}

const READY_DEADLINE_MS = 20_000
const ANSWER_DEADLINE_MS = 30_000
const KEPT_LINES = 50
const HOOK = new URL('./hook.js', import.meta.url).href

/** The root of the repository, seen from bench/dist/bench/lib. */
export const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url))

const living = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/** Starts a script with the hook preloaded and waits for its ready line, `{"msg":"ready",…}`. */
export async function startProcess(options: ProcessOptions): Promise<BenchProcess> {
  const hooked = ['--expose-gc', '--import', HOOK, ...(options.nodeArgs ?? [])]
  const child = spawn(process.execPath, [...hooked, options.script, ...(options.args ?? [])], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    cwd: tmpdir(),
    env: { ...process.env, NODE_ENV: 'production' },
  })
  living.add(child)
  const ended = once(child, 'exit').then(() => living.delete(child))
  const lines: string[] = []
  try {
    const ready = await readyLine(child, lines, ended)
    return describe(child, ready, lines, ended)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${options.script}: ${String(error)}\n${lines.join('\n')}`, { cause: error })
  }
}

function describe(
  child: ChildProcess,
  ready: Record<string, unknown>,
  lines: string[],
  ended: Promise<unknown>,
): BenchProcess {
  const ask = asker(child, lines, ended)
  return {
    pid: child.pid ?? 0,
    ready,
    hook: (command) => ask('hook', command, {}, ANSWER_DEADLINE_MS),
    ask: (to, command, options, deadlineMs = ANSWER_DEADLINE_MS) => ask(to, command, options, deadlineMs),
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
    output: () => lines.join('\n'),
  }
}

function readyLine(child: ChildProcess, lines: string[], ended: Promise<unknown>) {
  return new Promise<Record<string, unknown>>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it was not ready in time')), READY_DEADLINE_MS)
    const take = (line: string): void => {
      lines.push(line)
      if (lines.length > KEPT_LINES) lines.shift()
      const ready = readReady(line)
      if (ready === undefined) return
      clearTimeout(timer)
      resolve(ready)
    }
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', take)
    }
    void ended.then(() => {
      clearTimeout(timer)
      reject(new Error('it ended before it was ready'))
    })
  })
}

function readReady(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{') || !line.includes('"ready"')) return undefined
  const record: unknown = JSON.parse(line)
  if (typeof record !== 'object' || record === null) return undefined
  return 'msg' in record && record.msg === 'ready' ? { ...record } : undefined
}

type Ask = (
  to: string,
  command: string,
  options: Record<string, unknown>,
  deadlineMs: number,
) => Promise<Numbers>

function asker(child: ChildProcess, lines: readonly string[], ended: Promise<unknown>): Ask {
  const waiting = new Map<number, { resolve: (numbers: Numbers) => void; reject: (error: Error) => void }>()
  let last = 0
  child.on('message', (input: unknown) => {
    const answer = readAnswer(input)
    if (answer === undefined) return
    const asked = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('error' in answer) asked?.reject(new Error(answer.error))
    else asked?.resolve(answer.numbers)
  })
  void ended.then(() => {
    for (const { reject } of waiting.values())
      reject(new Error(`process ${child.pid} ended:\n${lines.join('\n')}`))
    waiting.clear()
  })
  return (to, command, options, deadlineMs) =>
    new Promise((resolve, reject) => {
      const id = ++last
      const timer = setTimeout(() => {
        waiting.delete(id)
        reject(new Error(`no answer to ${command} within ${deadlineMs} ms:\n${lines.join('\n')}`))
      }, deadlineMs)
      waiting.set(id, {
        resolve: (numbers) => {
          clearTimeout(timer)
          resolve(numbers)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      child.send({ to, id, command, options })
    })
}
