import type { Command } from 'commander'
import { readVersion } from '../../lib/version.js'
import { refuseFlags, refuseRepeats, type Execution } from '../configured.js'
import { addExamples } from '../help.js'
import type { MintFlags, VerifyFlags } from './flags.js'

// What the command line of `token` looks like. Its commands load what they need when they run.

const KEYS = `
Secrets and keys are read from files, because other users of a machine can see
the command line of a process. A line break at the end of a secret is left out.`

export function addToken(command: Command, execution: Execution): void {
  const { program } = execution.surroundings.startedAs
  command.usage('<mint|verify> [flags]')
  addExamples(command, [
    [`${program} token mint --app chat --sub alice --secret-file chat.secret`, 'a token for one hour'],
    [`${program} token verify "$TOKEN" --app chat --config peerage.yaml`, 'what a node would say to it'],
  ])
  addMint(command, execution)
  addVerify(command, execution)
}

function add(command: Command, name: string, about: string): Command {
  return command
    .command(name)
    .description(about)
    .version(readVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .requiredOption('--app <app>', 'the app that the token is for (aud)')
    .option('--config <file>', 'keys from the configuration of the node, and its environment')
    .option('--secret-file <file>', 'or the file of the secret (HS256)')
}

function finishDeclaring(command: Command): void {
  for (const option of command.options) refuseFlags(command, option)
  refuseRepeats(command)
  command.addHelpText('after', KEYS)
}

function addMint(parent: Command, { surroundings, finish }: Execution): void {
  const { program } = surroundings.startedAs
  const command = add(parent, 'mint', 'print a token')
    .usage('--app <app> --sub <text> [flags]')
    .option('--key-file <file>', 'or the file of the private key: PEM, or a JSON Web Key')
    .requiredOption('--sub <text>', 'who the peer is; also its name, unless --claim has claim')
    .option('--ttl <time>', 'how long it is valid, such as 90s, 10m, 2h or 1d', '1h')
    .option('--claim <json>', 'the claim peerage: what else is granted')
    .option('--alg <name>', 'the algorithm, if the key can be used for several')
    .option('--kid <text>', 'the id of the key in the JWKS')
    .option('--issuer <text>', 'iss')
    .option('--typ <text>', 'typ in the header (default JWT)')
  addExamples(command, [
    [`${program} token mint --app chat --sub alice --secret-file chat.secret`, 'for the name alice'],
    [
      `${program} token mint --app chat --sub u1 --key-file key.pem --claim '{"claim":{"prefixes":["u1-"]}}'`,
      'for all names that begin with u1-',
    ],
  ])
  finishDeclaring(command)
  command.action(async () => {
    const { mint } = await import('./mint.js')
    finish(await mint(command.opts<MintFlags>(), surroundings))
  })
}

function addVerify(parent: Command, { surroundings, finish }: Execution): void {
  const { program } = surroundings.startedAs
  const command = add(parent, 'verify', 'print the claims of a token, and whether a node takes it')
    .usage('<token> --app <app> [flags]')
    .argument('<token>', 'the token; - reads it from standard input')
    .option('--key-file <file>', 'or the file of the public key or certificate (PEM)')
    .option('--jwks <url>', 'or the URL of the JSON Web Key Set')
    .option('--name <name>', 'the name that the peer asks for (default: none)')
    .option('--issuer <text>', 'the iss that it must have')
    .option('--typ <text>', 'the typ that it must have')
    .option('--lifetime <time>', 'how far ahead its exp may be', '1h')
  addExamples(command, [
    [`${program} token verify "$TOKEN" --app chat --config peerage.yaml`, 'as the node would'],
    [
      `${program} token verify - --app chat --jwks https://id.example/keys.json < token`,
      'with the keys of an issuer',
    ],
  ])
  finishDeclaring(command)
  command.addHelpText(
    'after',
    '\nBans and revocations are not looked up.\nExit codes: 0 a node takes it, 1 a node refuses it, 2 the command line is wrong.',
  )
  command.action(async (token: string) => {
    const { verify } = await import('./verify.js')
    finish(await verify(token, command.opts<VerifyFlags>(), surroundings))
  })
}
