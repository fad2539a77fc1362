import { basename, relative } from 'node:path'
import type { StartedAs } from './surroundings.js'

interface Process {
  /** `process.argv[1]`. */
  script: string
  /** The current directory. */
  directory: string
  env: Readonly<Record<string, string | undefined>>
}

/** How this program was started. npm tells the scripts that it runs by environment variables. */
export function startedAs({ script, directory, env }: Process): StartedAs {
  const runs = env['npm_lifecycle_script'] ?? ''
  const byNpx = env['npm_lifecycle_event'] === 'npx' && /^['"]?peerage\b/.test(runs)
  const program = programOf({ script, directory, byNpx })
  // A shell that npm has started passes npm's variables on to every program that is started in that shell by hand.
  const isStart = env['npm_lifecycle_event'] === 'start' && /\bstart\.mjs$|\bpeerage serve$/.test(runs)
  return { program, serve: isStart ? 'npm start --' : `${program} serve` }
}

function programOf({
  script,
  directory,
  byNpx,
}: Pick<Process, 'script' | 'directory'> & { byNpx: boolean }): string {
  if (basename(script).endsWith('.js')) return `node ${relative(directory, script)}`
  if (!byNpx) return 'peerage'
  // npx has fetched it for this one time. Where it is installed, nothing must be fetched that has the same name.
  return script.split(/[\\/]/).includes('_npx') ? 'npx peerage' : 'npx --no-install peerage'
}
