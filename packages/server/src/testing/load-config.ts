import { nodeDefinition } from '../config/check.js'
import { linesOf, resolve, type Layer, type Loaded } from '../config/load.js'
import type { Config } from '../config/schema.js'
import { readEnvironment } from '../config/sources.js'
import { readYaml } from '../config/yaml-file.js'

/** The sources of a configuration: settings by their paths, variables, a file, and the files that it names. */
export interface Given {
  flags?: Record<string, unknown>
  env?: Record<string, string>
  file?: string
  files?: Record<string, string>
}

/** Loads a configuration from what a test gives. The file is called `peerage.yaml`. */
export function load({ flags = {}, env = {}, file, files = {} }: Given): Loaded<Config> {
  const values = Object.entries(flags).map(([path, value]) => [path, { value, source: `--${path}` }] as const)
  const readFile = (path: string): string => {
    const text = files[path]
    if (text === undefined) throw new Error(`ENOENT: no such file, open '${path}'`)
    return text
  }
  const layers: Layer[] = [
    { values: new Map(values), problems: [] },
    readEnvironment(nodeDefinition, { env, readFile }),
  ]
  const { leaves } = nodeDefinition
  if (file !== undefined) layers.push(readYaml({ name: 'peerage.yaml', text: file }, { leaves, readFile }))
  return resolve(nodeDefinition, layers)
}

/** The configuration. Throws its problems. */
export function config(given: Given): Config {
  const loaded = load(given)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

/** The problems of a configuration, each as one line. */
export function problems(given: Given): string[] {
  const loaded = load(given)
  return loaded.ok ? [] : linesOf(loaded.problems)
}
