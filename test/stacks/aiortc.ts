import { announce, installTool, type Tool } from '../support/binary.js'
import { run } from '../support/process.js'

// Debian's own: another python3 on the path does not see Debian's modules.
const PYTHON = '/usr/bin/python3'
const MODULES = [
  { module: 'aiortc', debianPackage: 'python3-aiortc' },
  { module: 'socketio', debianPackage: 'python3-socketio' },
  // What python3-socketio speaks WebSocket with.
  { module: 'aiohttp', debianPackage: 'python3-aiohttp' },
]

/**
 * The Python that has what aiortc_peer.py imports; what is missing comes with apt-get (as root on Debian).
 * @throws an Error that names what is missing and how to install it
 */
export async function findAiortc(): Promise<string> {
  const missing: typeof MODULES = []
  for (const needed of MODULES) if (!(await has(needed.module))) missing.push(needed)
  if (missing.length > 0) await installTool(toolOf(missing))
  announce(`aiortc: ${PYTHON} ${missing.length > 0 ? 'with what apt-get installed' : 'of this system'}`)
  return PYTHON
}

async function has(module: string): Promise<boolean> {
  return run(PYTHON, ['-c', `import ${module}`]).then(
    () => true,
    () => false,
  )
}

function toolOf(missing: typeof MODULES): Tool {
  return {
    part: 'aiortc',
    binaries: missing.map(({ module }) => `module ${module} for ${PYTHON}`),
    debianPackage: missing.map(({ debianPackage }) => debianPackage).join(' '),
  }
}
