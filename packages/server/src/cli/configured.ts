import { Option, type Command } from 'commander'
import { linesOf, resolve, type Definition, type Layer, type Loaded, type Problem } from '../config/load.js'
import { closest, fromText, textLeaves, type Leaf, type TextLeaf } from '../config/settings.js'
import { readEnvironment } from '../config/sources.js'
import { readYaml, type YamlOptions } from '../config/yaml-file.js'
import { unreadable } from '../lib/unreadable.js'
import { groupOf, inGroups } from './help.js'
import type { ExitCode, Surroundings } from './surroundings.js'

/** Where a command runs, and where its exit code goes. */
export interface Execution {
  surroundings: Surroundings
  finish: (code: ExitCode) => void
}

/** Where the settings of a command came from. */
export interface Given<T> {
  /** The source of each setting, except defaults. */
  sources: ReadonlyMap<string, string>
  /** The files that hold secrets. */
  secretFiles: readonly string[]
  /** Reads all sources again. */
  again: () => Loaded<T>
}

/** Gives a command every setting. `act` gets a valid configuration. For one that is wrong, every problem is printed. */
export function configured<T>(
  command: Command,
  definition: Definition<T>,
  { surroundings, finish }: Execution,
  act: (config: T, given: Given<T>) => Promise<ExitCode> | ExitCode,
): void {
  command.usage('[flags]')
  addFlags(command, textLeaves(definition.leaves)).action(async () => {
    const load = (): Loaded<T> => loadConfig(command, definition, surroundings)
    const loaded = load()
    if (loaded.ok) {
      const { config, sources, secretFiles } = loaded
      return finish(await act(config, { sources, secretFiles, again: load }))
    }
    printProblems(loaded.problems, surroundings.err)
    finish(2)
  })
}

/** Flags win over the environment, which wins over the file, which wins over the defaults. */
function loadConfig<T>(command: Command, definition: Definition<T>, surroundings: Surroundings): Loaded<T> {
  const layers = [
    readFlags(command, textLeaves(definition.leaves)),
    readEnvironment(definition, surroundings),
  ]
  const variable = `${definition.prefix}CONFIG`
  const flag: unknown = command.opts()['config']
  const file = typeof flag === 'string' ? flag : (surroundings.env[variable] ?? '')
  const source = typeof flag === 'string' ? '--config' : variable
  if (file !== '') layers.push(readFile(file, source, { ...definition, ...surroundings }))
  return resolve(definition, layers)
}

function readFile(file: string, source: string, options: YamlOptions): Layer {
  try {
    return readYaml({ name: file, text: options.readFile(file) }, options)
  } catch (error) {
    const problem = unreadable(file, error)
    return { values: new Map(), problems: [{ path: file, source, problem }], isUnread: true }
  }
}

/**
 * Some settings of a file and of the environment, for a command that has no flags for settings. The others have their
 * defaults, and the files that they name are not read.
 */
export function loadFile<T>(
  file: string,
  definition: Definition<T>,
  { surroundings, isWanted }: { surroundings: Surroundings; isWanted: (path: string) => boolean },
): Loaded<T> {
  const { leaves } = definition
  const layers = [
    readEnvironment(definition, surroundings, isWanted),
    readFile(file, '--config', { leaves, readFile: surroundings.readFile, isWanted }),
  ]
  return resolve(definition, layers)
}

/** One line for each problem: the setting, where it is set, what is wrong. */
export function printProblems(problems: readonly Problem[], err: (line: string) => void): void {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  err(`peerage: the configuration has ${count}:`)
  for (const line of linesOf(problems)) err(`  ${line}`)
}

/** Keeps the settings out of the help of a command, which names the command that lists them. */
export function settingsAsIn(other: string, command: Command): void {
  for (const option of command.options) if (option.helpGroupHeading !== undefined) option.hideHelp()
  command.addHelpText('after', `\nIts other flags are the settings:\n  ${other} --help`)
}

/** Gives a command one flag for each setting, and `--config`. */
function addFlags(command: Command, leaves: readonly TextLeaf[]): Command {
  command.option('--config <file>', 'YAML file of settings; flags and environment win over it')
  for (const leaf of inGroups(leaves))
    for (const option of optionsOf(leaf)) command.addOption(option.helpGroup(groupOf(leaf)))
  for (const option of command.options)
    refuseFlags(command, option, leaves.find(({ flag }) => flag === option.long)?.secret)
  const lists = leaves.filter(({ kind }) => kind === 'list').map(({ flag }) => flag)
  refuseRepeats(command, lists)
  // Unknown flags and stray words are collected and reported with everything else that is wrong.
  return command.allowUnknownOption().allowExcessArguments()
}

/** The beginning of a key or a certificate (RFC 7468 §2), which is the value of a flag and no flag. */
const PEM = '-----BEGIN '

/**
 * Commander takes the next word as the value of a flag, even if that word is a flag. We refuse a flag of this command as
 * a value. For a secret, we accept anything else that begins with dashes.
 */
export function refuseFlags(command: Command, option: Option, isSecret = false): void {
  if (!option.required) return
  const { parseArg } = option
  option.argParser((text: string, former: unknown) => {
    const isFlag = isSecret || text.startsWith(PEM) ? isFlagOf(command, text) : text.startsWith('--')
    if (isFlag) command.error(`error: ${option.long} needs a value: ${text} is the next flag`)
    return parseArg === undefined ? text : parseArg(text, former)
  })
}

/** Commander takes the last of two equal flags. We refuse both, except the flags of lists. */
export function refuseRepeats(command: Command, lists: readonly string[] = []): void {
  const given = new Map<string, string>()
  for (const option of command.options) {
    const flag = option.long ?? ''
    if (lists.includes(flag)) continue
    command.on(`option:${option.name()}`, () => {
      const former = given.get(option.attributeName())
      given.set(option.attributeName(), flag)
      if (former === flag) command.error(`error: ${flag} is given twice`)
      if (former !== undefined) command.error(`error: ${former} and ${flag} are both given`)
    })
  }
}

function isFlagOf(command: Command, text: string): boolean {
  const word = text.split('=')[0] ?? text
  return word === '--help' || command.options.some(({ long }) => long === word)
}

function optionsOf(leaf: TextLeaf): Option[] {
  const about = `${leaf.about}${defaultOf(leaf)}`
  switch (leaf.kind) {
    case 'boolean':
      return [
        new Option(`${leaf.flag} [bool]`, about),
        new Option(leaf.flag.replace('--', '--no-'), `not ${leaf.flag}`).hideHelp(),
      ]
    case 'list':
      return [
        new Option(`${leaf.flag} <item,…>`, `${about}; may be repeated`).argParser(
          (text: string, former: string | undefined) => (former === undefined ? text : `${former},${text}`),
        ),
      ]
    case 'number':
      return [new Option(`${leaf.flag} <number>`, about)]
    case 'text':
    case 'mapping':
      return [new Option(`${leaf.flag} <text>`, about)]
  }
}

function defaultOf(leaf: Leaf): string {
  const value = leaf.default
  if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return ''
  const text = Array.isArray(value) ? value.join(',') : value
  return ` (default ${typeof text === 'string' ? text : JSON.stringify(text)})`
}

/** The values of the flags of a parsed command, and the words on its line that are no flags. */
function readFlags(command: Command, leaves: readonly TextLeaf[]): Layer {
  const given: Record<string, unknown> = command.opts()
  const layer: Layer = { values: new Map(), problems: strays(command, leaves) }
  for (const leaf of leaves) {
    const value = given[new Option(leaf.flag).attributeName()]
    if (value === undefined) continue
    const negated = leaf.kind === 'boolean' && value === false
    const source = negated ? leaf.flag.replace('--', '--no-') : leaf.flag
    layer.values.set(leaf.path, {
      value: typeof value === 'string' ? fromText(leaf.kind, value) : value,
      source,
    })
  }
  return layer
}

function strays(command: Command, leaves: readonly TextLeaf[]): Layer['problems'] {
  const known = ['--config', '--help', '--version', ...leaves.map((leaf) => leaf.flag)]
  let afterUnknown = false
  return command.args.flatMap((word) => {
    const isFlag = word.startsWith('-') && word.length > 1
    const isItsValue = !isFlag && afterUnknown
    afterUnknown = isFlag
    if (isItsValue) return []
    const flag = word.split('=')[0] ?? word
    if (!isFlag) return [{ path: word, source: 'command line', problem: 'is not expected here' }]
    const near = closest(flag, known)
    const hint = near === undefined ? 'see --help' : `did you mean ${near}?`
    return [{ path: flag, source: 'command line', problem: `is not a flag of this command; ${hint}` }]
  })
}
