import { readdir, readFile } from 'node:fs/promises'

/**
 * The memory of all processes below this one whose command matches, in bytes: their PSS, in which what several processes
 * share counts once. A browser has many processes.
 */
export async function memoryBelow(command: RegExp): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const parents = new Map<string, string>()
  for (const pid of pids) {
    const stat = await readProc(pid, 'stat')
    // The name of a process is in brackets, and can have any character.
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (parent !== undefined) parents.set(pid, parent)
  }
  const isBelow = (pid: string): boolean => {
    for (let at = parents.get(pid); at !== undefined; at = parents.get(at))
      if (at === String(process.pid)) return true
    return false
  }
  let bytes = 0
  for (const pid of pids.filter(isBelow)) {
    if (!command.test(await readProc(pid, 'cmdline'))) continue
    const [, kilobytes = '0'] = /^Pss: +(\d+) kB/m.exec(await readProc(pid, 'smaps_rollup')) ?? []
    bytes += Number(kilobytes) * 1024
  }
  return bytes
}

/** Empty if the process has ended meanwhile. */
function readProc(pid: string, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
}
