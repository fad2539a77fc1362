import { tmpdir } from 'node:os'
import { findTool, type Tool } from '@peerage/test-support/binary.js'
import { run } from '@peerage/test-support/process.js'

// A small disk of its own for one process. It is mounted in a mount namespace, which ends with the process.

const TOOLS: readonly Tool[] = [
  { name: 'unshare', binaries: ['unshare'], debianPackage: 'util-linux' },
  { name: 'mount', binaries: ['mount'], debianPackage: 'mount' },
]

/** A folder that becomes a disk of so many MiB. */
export interface OwnDisk {
  folder: string
  size: number
}

/** The start of a command line that runs a program with that disk. */
export const onDisk = ({ folder, size }: OwnDisk): string[] => [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${size}m none "${folder}" && exec "$0" "$@"`,
]

/** Whether this process may give another one a disk of its own, or why it may not. */
export async function canMountDisks(): Promise<{ ok: true } | { ok: false; reason: string }> {
  if (process.platform !== 'linux') return { ok: false, reason: 'mount namespaces exist on Linux only' }
  if (process.getuid?.() !== 0)
    return { ok: false, reason: 'only root may mount a disk (run: sudo npm run test:share -- --only full)' }
  try {
    for (const tool of TOOLS) await findTool(tool)
    const [command, ...args] = [...onDisk({ folder: tmpdir(), size: 1 }), 'true']
    await run(command, args)
    return { ok: true }
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
}
