import { readFileSync, readdirSync } from 'node:fs'

// The memory of a browser is spread over many processes, which share pages. So the measure is the sum of their
// proportional set sizes (PSS): a page that n processes share counts 1/n in each (proc(5), smaps_rollup).

/**
 * The memory of a process and all its descendants, in bytes. A process that ends meanwhile counts as 0. `command`: only
 * processes whose command line matches.
 */
export function treeMemory(root: number, command?: RegExp): number {
  return [root, ...descendantsOf(root)]
    .filter((pid) => command === undefined || command.test(argumentsOf(pid).join(' ')))
    .reduce((sum, pid) => sum + pssOf(pid), 0)
}

/** The ids of all processes below this one. */
export function descendantsOf(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const pid of allProcesses()) {
    const parent = parentOf(pid)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const found: number[] = []
  const waiting = [root]
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const below = children.get(pid) ?? []
    found.push(...below)
    waiting.push(...below)
  }
  return found
}

/** The topmost process whose command line holds this argument. Undefined: there is none. */
export function processWithArgument(argument: string): number | undefined {
  const matches = allProcesses().filter((pid) => argumentsOf(pid).includes(argument))
  return matches.find((pid) => !matches.includes(parentOf(pid) ?? -1))
}

/** Reads the memory again and again until `stop`, which returns the highest reading. */
export function watchPeak(root: number, everyMs = 200): { stop(): number } {
  let peak = treeMemory(root)
  const timer = setInterval(() => (peak = Math.max(peak, treeMemory(root))), everyMs)
  return {
    stop: () => {
      clearInterval(timer)
      return Math.max(peak, treeMemory(root))
    },
  }
}

const allProcesses = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

function pssOf(pid: number): number {
  const [, kibibytes] = /^Pss:\s+(\d+) kB/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`)) ?? []
  return Number(kibibytes ?? 0) * 1024
}

function parentOf(pid: number): number | undefined {
  const [, parent] = /^PPid:\s+(\d+)/m.exec(readOrEmpty(`/proc/${pid}/status`)) ?? []
  return parent === undefined ? undefined : Number(parent)
}

const argumentsOf = (pid: number): string[] => readOrEmpty(`/proc/${pid}/cmdline`).split('\0')

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // The process has ended.
    return ''
  }
}
