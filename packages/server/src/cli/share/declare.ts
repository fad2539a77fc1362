import { Option, type Command } from 'commander'
import { refuseFlags, refuseRepeats, type Execution } from '../configured.js'
import { addExamples } from '../help.js'
import type { ReceiveFlags, SendFlags } from './options.js'

// What the command line of `send` and `receive` looks like. The commands load the SDK, so they are loaded when they run.

const CODES = `
Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 not wanted or ended
by hand, 4 the link, the code or the password is wrong.`

/** Adds the flags that both commands have, and what they have in common. */
function addCommon(command: Command): void {
  command
    .option('--server <url>', 'the server (default PEERAGE_SERVER, else http://127.0.0.1:9000)')
    .option('--token <text>', 'the access token of the server, if it needs one (default PEERAGE_TOKEN)')
    .option('--password-file <file>', 'the password is the first line of this file')
    .option('--json', 'print one JSON object a line, for programs')
}

function finishDeclaring(command: Command): void {
  for (const option of command.options) refuseFlags(command, option)
  refuseRepeats(command)
  command.addHelpText('after', CODES)
}

export function addSend(command: Command, { surroundings, finish }: Execution): void {
  const { program } = surroundings.startedAs
  command
    .usage('[flags] [path]…')
    .argument('[path...]', 'files and folders; - is standard input')
    .option('--text <text>', 'a text to send, with or without files')
    .option('--password', 'guests also need a password, for which you are asked')
    .option('--once', 'for one receiver: end when it has everything')
    .option('--expires <time>', 'end after this time, such as 90s, 10m, 2h or 1d')
    .option('--no-code', 'make no code to say aloud')
    .addOption(new Option('--code', 'make a code to say aloud (default)'))
    .option('--no-qr', 'draw no QR code')
  addCommon(command)
  addExamples(command, [
    [`${program} send report.pdf photos`, 'a file and a folder, until Ctrl-C'],
    [`tar c . | ${program} send --once -`, 'what another program writes, to one receiver'],
    [`${program} send --text 'see you at nine' --expires 10m`, 'a text, for ten minutes'],
  ])
  finishDeclaring(command)
  command.action(async (paths: string[]) => {
    const { send } = await import('./send.js')
    finish(await send(paths, command.opts<SendFlags>(), surroundings))
  })
}

export function addReceive(command: Command, { surroundings, finish }: Execution): void {
  const { program } = surroundings.startedAs
  command
    .usage('[flags] [link or code]')
    .argument('[where]', 'a link or a code; if there is none, you are asked for it')
    .option('--to <folder>', 'where the files go; - is standard output, for one file', '.')
    .option('--yes', 'accept all files, and do not ask; needed where there is no terminal')
    .option('--overwrite', 'replace files that exist')
    .option('--password', 'the share has a password, for which you are asked')
  addCommon(command)
  addExamples(command, [
    [`${program} receive 17-crane-otter-tulip`, 'by a code'],
    [`${program} receive 'https://peers.example/?peer_id=…#…' --to downloads`, 'by a link, into a folder'],
  ])
  finishDeclaring(command)
  command.action(async (where: string | undefined) => {
    const { receive } = await import('./receive.js')
    finish(await receive(where, command.opts<ReceiveFlags>(), surroundings))
  })
}
