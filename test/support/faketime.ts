import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findTool } from './binary.js'
import { run } from './process.js'

const LIBRARY = 'faketime/libfaketime.so.1'

/**
 * The environment in which a process's wall clock is off by this much (`+1h`, `-30m`), for
 * `startNode({ env })`. Monotonic time stays true. The `faketime` program itself is no good in front of a
 * node: it forks, and signals would reach it alone.
 */
export async function clockOffset(offset: string): Promise<Record<string, string>> {
  const { path } = await findTool({ part: 'faketime', binaries: ['faketime'], debianPackage: 'faketime' })
  // Debian and Fedora keep it in a directory of the architecture, Alpine and others beside the program's lib.
  const multiarch = await run('sh', ['-c', 'ls -d /usr/lib/*/faketime 2>/dev/null || true'])
  const beside = join(dirname(path), '..', 'lib')
  const directories = [
    ...multiarch.split('\n').map((each) => dirname(each)),
    beside,
    '/usr/lib64',
    '/usr/local/lib',
  ]
  const library = directories.map((each) => join(each, LIBRARY)).find((file) => existsSync(file))
  if (library === undefined) throw new Error(`faketime is here (${path}), its ${LIBRARY} is not`)
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}
