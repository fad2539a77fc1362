import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findTool } from './binary.js'
import { run } from './process.js'

const LIBRARY = 'faketime/libfaketime.so.1'

/**
 * The environment that shifts a process's wall clock by `offset` (`+1h`, `-30m`), for `startNode({ env })`. Monotonic time
 * stays true. The `faketime` program itself cannot start a node: it forks, and signals would reach only faketime.
 */
export async function clockOffset(offset: string): Promise<Record<string, string>> {
  const { path } = await findTool({ name: 'faketime', binaries: ['faketime'], debianPackage: 'faketime' })
  // Debian and Fedora keep the library in a directory of the architecture, Alpine and others next to the program's lib.
  const multiarch = await run('sh', ['-c', 'ls -d /usr/lib/*/faketime 2>/dev/null || true'])
  const beside = join(dirname(path), '..', 'lib')
  const directories = [
    ...multiarch.split('\n').map((each) => dirname(each)),
    beside,
    '/usr/lib64',
    '/usr/local/lib',
  ]
  const library = directories.map((each) => join(each, LIBRARY)).find((file) => existsSync(file))
  if (library === undefined) throw new Error(`faketime is installed (${path}), but its ${LIBRARY} is missing`)
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}
