import { systemClock } from '@peerage/core'
import { Command, CommanderError } from 'commander'
import { createBackend } from '../backend.js'
import { nodeDefinition } from '../config/check.js'
import { toMarkdown, toYaml } from '../config/print.js'
import type { Config } from '../config/schema.js'
import { stunDefinition } from '../config/stun.js'
import { createOwnServer } from '../http/own-server.js'
import { unwatchedFiles, UnusableFile } from '../config/tls-files.js'
import { readVersion } from '../lib/version.js'
import { cluster } from './cluster.js'
import { configured, refuseFlags, type Execution } from './configured.js'
import { doctor } from './doctor.js'
import { serve } from './serve.js'
import { serveStun } from './stun.js'
import type { ExitCode, Surroundings } from './surroundings.js'

const EPILOGUE = `
Settings: flags win over the environment (PEERAGE_*, secrets also from the file that PEERAGE_*_FILE names),
which wins over --config FILE. "peerage print-config --docs" lists them all.
Exit codes: 0 done, 1 failed at run time, 2 the configuration is wrong.`

/** Runs the command line; resolves with the exit code. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = 0
  const program = createProgram({ surroundings, finish: (result) => (code = result) })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    // Commander has printed what is wrong; help and version are no failures.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
}

function createProgram(execution: Execution): Command {
  const { out, err } = execution.surroundings
  const program = new Command('peerage')
    .description('The rendezvous tier for peer-to-peer software.')
    .exitOverride()
    .configureOutput({ writeOut: (text) => out(text.trimEnd()), writeErr: (text) => err(text.trimEnd()) })
    .version(readVersion(), '-V, --version')
    .addHelpText('after', EPILOGUE)
  const add = (name: string, about: string): Command => program.command(name).description(about)
  /** A command of a node. */
  const forNode = (
    name: string,
    about: string,
    act: (config: Config, surroundings: Surroundings) => Promise<ExitCode> | ExitCode,
  ): void =>
    configured(add(name, about), nodeDefinition, execution, (config) => act(config, execution.surroundings))

  forNode('serve', 'run one node', serve)
  configured(add('stun', 'run the standalone P2P (STUN) server'), stunDefinition, execution, (config) =>
    serveStun(config, execution.surroundings),
  )
  forNode('check-config', 'say everything that is wrong with the configuration', checkFiles)
  addPrintConfig(add('print-config', 'print the configuration, secrets redacted'), execution)
  forNode('doctor', 'look at everything a node needs, and say what to do', doctor)
  addCluster(add('cluster', 'try a cluster: Redis, nodes and HAProxy on this machine'), execution)
  add('version', 'print the version').action(() => out(`peerage ${readVersion()} (Node ${process.version})`))
  return program
}

function addPrintConfig(command: Command, execution: Execution): void {
  const { out } = execution.surroundings
  command
    .option('--docs', 'print a table of all settings instead')
    .option('--stun', 'with --docs: the settings of peerage stun')
  configured(command, nodeDefinition, execution, (config, sources) => {
    const { docs, stun } = command.opts<{ docs?: boolean; stun?: boolean }>()
    const { leaves } = nodeDefinition
    if (docs) out(toMarkdown(stun ? stunDefinition.leaves : leaves))
    else out(toYaml(config, leaves, sources).trimEnd())
    return 0
  })
}

function addCluster(command: Command, { surroundings, finish }: Execution): void {
  command
    .option('--nodes <number>', 'how many nodes, 1 to 12', '3')
    .option('--port <number>', 'where HAProxy listens on 127.0.0.1', '9000')
    .option('--verbose', 'print what every part logs')
  for (const option of command.options) refuseFlags(command, option)
  command.action(async () => {
    const { nodes, port, verbose } = command.opts<{ nodes: string; port: string; verbose?: boolean }>()
    finish(
      await cluster({ nodes: Number(nodes), port: Number(port), verbose: verbose ?? false }, surroundings),
    )
  })
}

/** Beyond the settings themselves: the files that they name must be usable. */
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
