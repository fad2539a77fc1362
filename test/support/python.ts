import { spawnSync } from 'node:child_process'
import { announce, findBinary, type Program } from './binary.js'
import { startChild, type Child } from './process.js'

const IMPORT_DEADLINE_MS = 20_000
/** The modules of python-socketio and of its WebSocket transport, each with the Debian package that contains it. */
const SOCKETIO = { socketio: 'python3-socketio', aiohttp: 'python3-aiohttp' }

/** The path of a Python that has python-socketio and these modules, each given with the Debian package that contains it. */
export async function findPython(more: Readonly<Record<string, string>> = {}): Promise<string> {
  const { path, how, version } = await findBinary(pythonWith({ ...SOCKETIO, ...more }))
  announce(`python: ${how} ${version}`)
  return path
}

/** Starts a Python program that may use python-socketio, with its standard input open. */
export async function startPython(...args: string[]): Promise<Child> {
  return startChild({ command: await findPython(), args, input: true })
}

/** Requires the modules, because a Python that is not Debian's does not see Debian's packages. */
function pythonWith(packages: Readonly<Record<string, string>>): Program {
  const modules = Object.keys(packages)
  return {
    name: 'python',
    binaries: ['python3'],
    debianPackage: Object.values(packages).join(' '),
    having: {
      what: `the packages ${modules.join(', ')}`,
      check: (path) =>
        spawnSync(path, ['-c', `import ${modules.join(', ')}`], { timeout: IMPORT_DEADLINE_MS }).status === 0,
    },
    version: { args: ['--version'], pattern: /Python (\S+)/ },
  }
}
