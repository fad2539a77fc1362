import { systemClock } from '@peerage/core'
import { Command, CommanderError, Option } from 'commander'
import { createBackend } from '../backend.js'
import { nodeDefinition } from '../config/check.js'
import { toMarkdown, toYaml } from '../config/print.js'
import { printedSettings } from '../config/printed-settings.js'
import { defaultConfig, type Config } from '../config/schema.js'
import { stunDefinition } from '../config/stun.js'
import { unwatchedFiles, UnusableFile } from '../config/tls-files.js'
import { urlWires } from '../config/url-wires.js'
import { createOwnServer } from '../http/own-server.js'
import { readVersion } from '../lib/version.js'
import { cluster } from './cluster.js'
import {
  configured,
  refuseFlags,
  refuseRepeats,
  settingsAsIn,
  type Execution,
  type Given,
} from './configured.js'
import { doctor } from './doctor.js'
import { addExamples, helpLayout, widthOfHelp } from './help.js'
import { serve } from './serve.js'
import { addReceive, addSend } from './share/declare.js'
import { serveStun } from './stun.js'
import type { ExitCode, Surroundings } from './surroundings.js'
import { addToken } from './token/declare.js'

const EPILOGUE = `
Settings come from flags, else from variables (PEERAGE_PORT and the like), else
from the file that --config names. For a secret, a variable that ends in _FILE
may name a file that holds it.
Exit codes: 0 done, 1 failed at run time, 2 the configuration is wrong.`

/** Runs the command line. Resolves with the exit code. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = 0
  const program = createProgram({ surroundings, finish: (result) => (code = result) })
  try {
    await program.parseAsync(withoutHelp(program, argv), { from: 'user' })
    return code
  } catch (error) {
    // Commander has printed what is wrong. Printing help or the version is not a failure.
    if (!(error instanceof CommanderError)) throw error
    if (NEEDS_HELP.includes(error.code))
      surroundings.err(`See ${surroundings.startedAs.program}${commandsOf(program, argv)} --help`)
    return error.exitCode === 0 ? 0 : 2
  }
}

/** The codes of Commander for words that a command does not know. */
const NEEDS_HELP = ['commander.unknownCommand', 'commander.unknownOption', 'commander.excessArguments']

/** The commands with which the line begins, such as ` token mint`. */
function commandsOf(command: Command, [word, ...rest]: readonly string[]): string {
  const next = command.commands.find((each) => each.name() === word)
  return next === undefined ? '' : ` ${next.name()}${commandsOf(next, rest)}`
}

/** For `help serv` and `serv --help`, Commander prints the general help. It refuses the word alone, with a suggestion. */
function withoutHelp({ commands }: Command, argv: readonly string[]): string[] {
  const [word = '-'] = argv[0] === 'help' ? argv.slice(1) : argv
  const isCommand = word === 'help' || commands.some((command) => command.name() === word)
  return word.startsWith('-') || isCommand ? [...argv] : [word]
}

function createProgram(execution: Execution): Command {
  const { surroundings } = execution
  const { out, err, columns, startedAs } = surroundings
  const { program: name } = startedAs
  const width = (): number => widthOfHelp(columns)
  const program = new Command('peerage')
    .description('Peers find each other by name here, and connect. `peerage serve` starts a node.')
    .usage('<command> [flags]')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => out(text.trimEnd()),
      writeErr: (text) => err(text.trimEnd()),
      getOutHelpWidth: width,
      getErrHelpWidth: width,
    })
    .configureHelp(helpLayout)
    .version(readVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
  addExamples(program, [
    [`${name} serve`, 'start one node on this machine'],
    [`${name} serve --help`, 'all that a node can be told'],
    [`${name} send FILE`, 'share a file through that node'],
  ])
  program.addHelpText('after', EPILOGUE)
  const add = (command: string, about: string): Command =>
    program
      .command(command)
      .description(about)
      .version(readVersion(), '-v, --version', 'print the version')
      .helpOption('-h, --help', 'print this help')
  /** A command that takes the settings of a node. */
  const forNode = (
    command: Command,
    act: (config: Config, surroundings: Surroundings, given: Given<Config>) => Promise<ExitCode> | ExitCode,
  ): void =>
    configured(command, nodeDefinition, execution, (config, given) => act(config, surroundings, given))
  const likeServe = (command: Command): void => settingsAsIn(`${name} serve`, command)

  const serving = add('serve', 'start one node')
  addExamples(serving, [
    [startedAs.serve, 'a node for this machine alone, with all names in its memory'],
    [`${startedAs.serve} --port 9100`, 'on another port'],
    [`${startedAs.serve} --host 0.0.0.0 --open`, 'a node for everybody who reaches this machine'],
    [
      `${startedAs.serve} --host 0.0.0.0 --redis redis://10.0.0.5 --origins https://app.example`,
      'one of several nodes, which share a Redis, for the pages of one site',
    ],
  ])
  forNode(serving, serve)

  addSend(add('send', 'send files and folders by a link or a code'), execution)
  addReceive(add('receive', 'receive files by a link or a code'), execution)

  const stun = add('stun', 'start a P2P (STUN) server by itself: it tells peers their address')
  addExamples(stun, [[`${name} stun --port 3478`, 'on the usual port of STUN']])
  configured(stun, stunDefinition, execution, (config) => serveStun(config, surroundings))

  const checking = add('check-config', 'say everything that is wrong with the configuration')
  addExamples(checking, [[`${name} check-config --config peerage.yaml`, 'before a deploy']])
  forNode(checking, checkFiles)
  likeServe(checking)

  const printing = add('print-config', 'print the configuration, without its secrets')
  addPrintConfig(printing, execution)
  likeServe(printing)

  const looking = add('doctor', 'check everything that a node needs, and say what to do')
  addExamples(looking, [[`${name} doctor --redis redis://10.0.0.5`, 'with the flags that `serve` will get']])
  forNode(looking, doctor)
  likeServe(looking)

  addToken(add('token', 'make and check access tokens'), execution)

  addCluster(add('cluster', 'try a cluster: Redis, nodes and HAProxy on this machine'), execution)

  const version = add('version', 'print the version of Peerage and of Node')
  addExamples(version, [[`${name} version`, 'for a report of a bug']])
  version.usage('').action(() => out(`peerage ${readVersion()} (Node ${process.version})`))
  return program
}

function addPrintConfig(command: Command, execution: Execution): void {
  const { out, startedAs } = execution.surroundings
  command
    .option('--docs', 'print a table of all settings instead')
    .option('--stun', 'with --docs: the settings of peerage stun')
  addExamples(command, [
    [`${startedAs.program} print-config --config peerage.yaml`, 'what is set, and where'],
    [`${startedAs.program} print-config --docs`, 'a table of all settings, as Markdown'],
  ])
  configured(command, nodeDefinition, execution, (config, { sources }) => {
    const { docs, stun } = command.opts<{ docs?: boolean; stun?: boolean }>()
    const { leaves } = nodeDefinition
    if (docs) out(toMarkdown(stun ? stunDefinition.leaves : leaves))
    else out(toYaml(printedSettings(config, sources)).trimEnd())
    return 0
  })
}

function addCluster(command: Command, { surroundings, finish }: Execution): void {
  command
    .usage('[flags]')
    .option('--nodes <number>', 'how many nodes, 1 to 12 (default 3)')
    .option('--port <number>', 'where HAProxy listens on 127.0.0.1 (default 9000)')
    .option('--verbose', 'print the output of every process')
  const wires = urlWires(defaultConfig)
  for (const { flag, client, pattern } of wires)
    command.option(flag, `also serve unmodified clients of ${client}, at ${pattern}`)
  const { program } = surroundings.startedAs
  addExamples(command, [
    [`${program} cluster --nodes 3`, 'three nodes'],
    [`${program} cluster --nodes 2 --y-webrtc`, 'two nodes, for pages with y-webrtc'],
  ])
  for (const option of command.options) refuseFlags(command, option)
  refuseRepeats(command)
  command.action(async () => {
    const given = command.opts<{ nodes?: string; port?: string; verbose?: boolean }>()
    const { nodes = '3', port = '9000', verbose = false } = given
    const on = wires.filter(({ flag }) => command.getOptionValue(new Option(flag).attributeName()) === true)
    finish(await cluster({ nodes: Number(nodes), port: Number(port), verbose, wires: on }, surroundings))
  })
}

/** Checks that the files which valid settings name can be used. */
function checkFiles(config: Config, { out, err }: Surroundings): ExitCode {
  try {
    const onError = (): void => {} // nothing starts here
    const files = unwatchedFiles(systemClock)
    createOwnServer(config, { readiness: () => ({ ready: true }), files, onError }).close()
    createBackend(config, { clock: systemClock, files, onError })
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error
    err(`peerage: ${error.message}`)
    return 2
  }
  out('the configuration is fine')
  return 0
}
