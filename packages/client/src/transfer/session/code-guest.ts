import { parseName } from '@peerage/protocol'
import type { Name } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import { codeName, parseCode } from '../keys/code.js'
import type { ParsedCode } from '../keys/code.js'
import { connectAsGuest } from '../keys/guest.js'
import type { SessionKeys } from '../keys/handshake.js'
import type { LinkKey } from '../keys/link.js'
import { codeSecret } from '../keys/password.js'
import type { SessionEnd } from '../types.js'
import { decodeDestination } from './destination.js'
import { contextOfServer, ServerLine } from './proof-line.js'
import type { ServerPort } from './server-port.js'
import { endTexts } from './texts.js'

/** Where the guest of a code goes on, and the session that the code has begun. */
export interface Entered {
  name: Name
  fragment: string
  key: LinkKey
  keys: SessionKeys
}

export type CodeResult = { ok: true; entered: Entered } | { ok: false; why: SessionEnd; detail: string }

/** Another guest may be trying the same code at this moment. */
const ATTEMPTS = 3
const AGAIN_MS = 2_000

/** Proves to the host of a code that this guest knows its words. */
export async function enterCode(
  text: string,
  port: ServerPort,
  clock: Clock,
  signal: AbortSignal,
): Promise<CodeResult> {
  const { words } = await import('../keys/words.js')
  const parsed = parseCode(text, words)
  if (!parsed.ok) return failed('wrong-code', mistakeText(parsed))
  if (port.payloadBytesMax === undefined)
    return failed('failed', 'the server carries no messages, so codes do not work here; use the link')
  const { number, text: code } = parsed.code
  const name = parseName(codeName(number))
  if (!name.ok) return failed('wrong-code', name.problem)
  // While the host is merely away, its name is still taken.
  const [presence] = await port.peer.lookup([name.value])
  if (presence?.state === 'offline') return failed('not-found')
  const secret = await codeSecret(code)
  for (let attempt = 1; !signal.aborted; attempt++) {
    const result = await tryOnce(name.value, secret, port, clock)
    if (result !== 'again') return result
    if (attempt === ATTEMPTS) break
    await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve))
  }
  return failed('failed', 'the other side did not answer; try again, or ask for a new code')
}

async function tryOnce(
  name: Name,
  code: bigint,
  port: ServerPort,
  clock: Clock,
): Promise<CodeResult | 'again'> {
  const link = port.open(name)
  const line = new ServerLine(link, clock)
  const result = await connectAsGuest(line, contextOfServer(port.peer.name, link), { kind: 'code', code })
  line.close()
  // After a failure the other side is still to be told.
  void link.flushed().then(() => link.close('the handshake is over'))
  if (result.ok) {
    const found = decodeDestination(result.payload)
    return found === undefined
      ? failed('incompatible')
      : { ok: true, entered: { ...found, keys: result.keys } }
  }
  switch (result.why) {
    case 'busy':
    case 'broken-off':
      return 'again'
    case 'wrong-code':
    case 'no-code':
      return failed('wrong-code')
    case 'stopped':
    case 'expired':
    case 'locked':
      return failed(result.why)
    case 'taken':
      return failed('taken-elsewhere')
    case 'incompatible':
    case 'malformed':
      return failed('incompatible')
    case 'wrong-key':
    case 'not-verified':
    case 'wrong-link':
    case 'wrong-password':
    case 'password-needed':
    case 'password-not-needed':
    case 'not-the-session':
      return failed('not-verified')
  }
}

const failed = (why: SessionEnd, detail: string = endTexts[why]): CodeResult & { ok: false } => ({
  ok: false,
  why,
  detail,
})

function mistakeText(parsed: ParsedCode & { ok: false }): string {
  switch (parsed.why) {
    case 'empty':
      return 'there is no code'
    case 'no-number':
      return 'a code begins with a number, such as 17-crane-otter-tulip'
    case 'too-short':
      return 'a code has a number and three words; some are missing'
    case 'too-long':
      return 'a code has a number and three words; this is more'
    case 'unknown-word':
      return `no code has the word "${parsed.word}"; look whether it is spelled right`
  }
}
