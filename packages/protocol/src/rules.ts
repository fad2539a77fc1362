import type { ErrorCode } from './errors.js'
import { isErrorCode } from './errors.js'
import type { App, Name, Room, Secret } from './ids.js'
import { parseApp, parseName, parseRoom, parseSecret } from './ids.js'
import { limits } from './limits.js'
import type { Rule } from './shape.js'
import { list, object, rule } from './shape.js'

// What a field of a message may hold.

const isString = (input: unknown): input is string => typeof input === 'string'
export const string = rule(isString, 'must be a string')
export const text = (most: number): Rule<string> =>
  rule(
    (input): input is string => isString(input) && input.length <= most,
    `must be a string of at most ${most}`,
  )
export const body: Rule<string> = {
  is: (input): input is string => isString(input) && input.length <= limits.bodyLength,
  explain: (input) => (isString(input) ? `is over ${limits.bodyLength} characters` : 'must be a string'),
}
export const flag = rule((input): input is boolean => typeof input === 'boolean', 'must be true or false')
export const natural = rule(
  (input): input is number => Number.isSafeInteger(input) && Number(input) >= 0,
  'must be a whole number from 0 up',
)
export const upTo = (most: number): Rule<number> =>
  rule(
    (input): input is number => natural.is(input) && input <= most,
    `must be a whole number from 0 to ${most}`,
  )
export const name: Rule<Name> = {
  is: (input): input is Name => parseName(input).ok,
  explain: (input) => {
    const parsed = parseName(input)
    return parsed.ok ? 'is fine' : `breaks the grammar: ${parsed.problem}`
  },
  code: 'bad-name',
}
export const room: Rule<Room> = {
  is: (input): input is Room => parseRoom(input).ok,
  explain: (input) => {
    const parsed = parseRoom(input)
    return parsed.ok ? 'is fine' : `breaks the grammar: ${parsed.problem}`
  },
  code: 'bad-name',
}
export const app = rule(
  (input): input is App => parseApp(input).ok,
  'must be 1 to 32 characters of a-z, 0-9 and -',
)
export const secret = rule(
  (input): input is Secret => parseSecret(input).ok,
  'must be 22 to 64 characters of base64url',
)
const STREAM_PATTERN = /^[A-Za-z0-9_-]{11}$/
export const stream = rule(
  (input): input is string => isString(input) && STREAM_PATTERN.test(input),
  `must be ${limits.streamLength} characters of base64url`,
)
const UNREAD_PATTERN = /^[\da-f]{1,16}$/
/** Which of the last 64 messages the recipient could not read: bit i of the number stands for seq next - 1 - i [D19]. */
export const unread = rule(
  (input): input is string => isString(input) && UNREAD_PATTERN.test(input),
  'must be 1 to 16 hexadecimal digits in lower case',
)
const HANDSHAKE_PATTERN = /^[A-Za-z0-9_-]{1,32}$/
/** It goes into the log of each node on its way. */
export const handshake = rule(
  (input): input is string => isString(input) && HANDSHAKE_PATTERN.test(input),
  'must be 1 to 32 characters of base64url',
)
export const oneOf = <T extends string>(...values: T[]): Rule<T> =>
  rule((input): input is T => values.some((value) => value === input), `must be one of ${values.join(', ')}`)
export const kind = oneOf('message', 'signal')
export const presence = oneOf('online', 'away', 'offline')
export const code: Rule<ErrorCode> = rule(isErrorCode, 'must be a code of the error table')

export const turn = object({
  urls: list(string, limits.turnUrls),
  username: string,
  credential: string,
  ttlMs: natural,
})
