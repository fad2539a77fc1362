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
  const program = basename(script).endsWith('.js') ? `node ${relative(directory, script)}` : 'peerage'
  const runs = env['npm_lifecycle_script'] ?? ''
  // A shell that npm has started passes npm's variables on to every program that is started in that shell by hand.
  const isStart = env['npm_lifecycle_event'] === 'start' && /\bstart\.mjs$|\bpeerage serve$/.test(runs)
  return { program, serve: isStart ? 'npm start --' : `${program} serve` }
}
