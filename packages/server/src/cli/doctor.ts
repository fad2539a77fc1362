import type { Config } from '../config.js'
import type { ExitCode, Surroundings } from './surroundings.js'

export function doctor(_config: Config, { out }: Surroundings): Promise<ExitCode> {
  out('soon')
  return Promise.resolve(0)
}
