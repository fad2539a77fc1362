import { spawnSync } from 'node:child_process'
import { announce, findBinary, type Program } from './binary.js'
import { startChild, type Child } from './process.js'

const IMPORT_DEADLINE_MS = 20_000

/** A Python may be another one than Debian's, without its packages. */
const PYTHON: Program = {
  part: 'python',
  binaries: ['python3'],
  debianPackage: 'python3-socketio python3-aiohttp',
  having: {
    what: 'the packages socketio and aiohttp',
    check: (path) =>
      spawnSync(path, ['-c', 'import socketio, aiohttp'], { timeout: IMPORT_DEADLINE_MS }).status === 0,
  },
  version: { args: ['--version'], pattern: /Python (\S+)/ },
}

/** Starts a Python program that may use python-socketio, with its standard input open. */
export async function startPython(...args: string[]): Promise<Child> {
  const { path, how, version } = await findBinary(PYTHON)
  announce(`python: ${how} ${version}`)
  return startChild({ command: path, args, input: true })
}
