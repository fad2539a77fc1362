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

/** The browser with this folder as its profile. Its other processes are below it. */
export function browserOf(profile: string): number {
  const found = allProcesses().find((pid) => {
    const given = argumentsOf(pid)
    return given.includes(`--user-data-dir=${profile}`) && !given.some((one) => one.startsWith('--type='))
  })
  if (found === undefined) throw new Error(`no browser has the profile ${profile}`)
  return found
}

/** The same by the kind of process, such as `renderer` or `tab`. */
function memoryByKind(root: number): Map<string, number> {
  const kinds = new Map<string, number>()
  for (const pid of [root, ...descendantsOf(root)]) {
    const given = argumentsOf(pid).filter((one) => one !== '')
    // Chromium says `--type=renderer`, and Firefox has `tab` near the end.
    const type = given.find((one) => one.startsWith('--type='))?.slice(7)
    const last = given.slice(-3).findLast((one) => /^[a-z]{3,}$/.test(one))
    const kind = pid === root ? 'main' : (type ?? last ?? 'other')
    kinds.set(kind, (kinds.get(kind) ?? 0) + pssOf(pid))
  }
  return kinds
}

/** The ids of all processes below this one. */
function descendantsOf(root: number): number[] {
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

export interface Growth {
  /** Bytes at the start, and how many more there were at the highest reading. */
  before: number
  more: number
  /** The same growth by the kind of process, for error messages: `tab +20 MB, socket +3 MB`. */
  where: string
}

/** Reads the memory again and again until `stop`. */
export function watchGrowth(root: number, everyMs = 500): { stop(): Growth } {
  const before = memoryByKind(root)
  let peak = before
  const read = (): void => {
    const now = memoryByKind(root)
    if (sum(now) > sum(peak)) peak = now
  }
  const timer = setInterval(read, everyMs)
  return {
    stop: () => {
      clearInterval(timer)
      read()
      const where = [...peak].map(([kind, bytes]) => [kind, bytes - (before.get(kind) ?? 0)] as const)
      return {
        before: sum(before),
        more: sum(peak) - sum(before),
        where: where.map(([kind, bytes]) => `${kind} +${Math.round(bytes / 1e6)} MB`).join(', '),
      }
    },
  }
}

const sum = (kinds: ReadonlyMap<string, number>): number => [...kinds.values()].reduce((a, b) => a + b, 0)

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
