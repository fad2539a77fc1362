import type { Command } from 'commander'
import { readYaml } from '../config/sources.js'
import {
  readEnvironment,
  reasonOf,
  resolve,
  type Definition,
  type Layer,
  type Loaded,
  type Problem,
} from '../config/load.js'
import { readFlags } from './flags.js'
import type { Surroundings } from './surroundings.js'

export interface LoadOptions<T> {
  definition: Definition<T>
  /** `PEERAGE_`, or `PEERAGE_STUN_`: what this program's variables begin with. */
  prefix: string
}

/** Flags, then environment, then file, then defaults. */
export function loadConfig<T>(
  command: Command,
  options: LoadOptions<T>,
  surroundings: Surroundings,
): Loaded<T> {
  const { leaves } = options.definition
  const layers = [readFlags(command, leaves), readEnvironment(leaves, options.prefix, surroundings)]
  const variable = `${options.prefix}CONFIG`
  const flag: unknown = command.opts()['config']
  const file = typeof flag === 'string' ? flag : (surroundings.env[variable] ?? '')
  if (file !== '') {
    const source = typeof flag === 'string' ? '--config' : variable
    layers.push(readFile(file, source, options.definition.leaves, surroundings))
  }
  return resolve(options.definition, layers)
}

function readFile(
  file: string,
  source: string,
  leaves: Definition<unknown>['leaves'],
  surroundings: Surroundings,
): Layer {
  try {
    return readYaml(file, surroundings.readFile(file), leaves)
  } catch (error) {
    return {
      values: new Map(),
      problems: [{ path: file, source, problem: `cannot be read: ${reasonOf(error)}` }],
    }
  }
}

/** One line a problem: the setting, where it was said, what is wrong. */
export function printProblems(problems: readonly Problem[], err: (line: string) => void): void {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  err(`peerage: the configuration has ${count}:`)
  for (const { path, source, problem } of problems) {
    const subject = path === '' ? source : `${path} (${source})`
    err(`  ${subject}: ${problem}`)
  }
}
