import type { ErrorCode, ProtocolError } from './errors.js'
import { isErrorCode, protocolError } from './errors.js'
import type { App, Name, Parsed, Room, Secret } from './ids.js'
import { parseApp, parseName, parseRoom, parseSecret } from './ids.js'
import { limits } from './limits.js'

/** What a field must be: a guard, and a text for the sender of a field that breaks the rule. */
export interface Rule<T> {
  is(input: unknown): input is T
  explain(input: unknown): string
  code?: ErrorCode
  /** The fields of an object. */
  fields?: Shape
  /** The rule for the items of a list. */
  item?: Rule<unknown>
}

export type Shape = Record<string, Rule<unknown>>
export type Value<R> = R extends Rule<infer T> ? T : never
type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends Value<S[K]> ? K : never }[keyof S]
/** The object that a shape describes. Fields that may be undefined may also be absent. */
export type Fields<S extends Shape> = { [K in Exclude<keyof S, OptionalKeys<S>>]: Value<S[K]> } & {
  [K in OptionalKeys<S>]?: Exclude<Value<S[K]>, undefined>
}

export type Decoded<T> = { ok: true; value: T } | { ok: false; error: ProtocolError }

export function isObject(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}

export function rule<T>(is: (input: unknown) => input is T, text: string, code?: ErrorCode): Rule<T> {
  const made = { is, explain: () => text }
  return code === undefined ? made : { ...made, code }
}

export function optional<T>(inner: Rule<T>): Rule<T | undefined> {
  const is = (input: unknown): input is T | undefined => input === undefined || inner.is(input)
  return { ...inner, is }
}

export function nullable<T>(inner: Rule<T>): Rule<T | null> {
  const is = (input: unknown): input is T | null => input === null || inner.is(input)
  return { ...inner, is }
}

export function list<T>(inner: Rule<T>, most: number): Rule<T[]> {
  const is = (input: unknown): input is T[] =>
    Array.isArray(input) && input.length > 0 && input.length <= most && input.every((item) => inner.is(item))
  const explain = (input: unknown): string => {
    if (!Array.isArray(input)) return 'must be a list'
    if (input.length === 0 || input.length > most) return `must be a list of 1 to ${most} items`
    const broken = input.find((item) => !inner.is(item))
    return `holds an item that ${inner.explain(broken)}`
  }
  const made = { is, explain, item: inner }
  return inner.code === undefined ? made : { ...made, code: inner.code }
}

/** A list that may be empty. */
export function bounded<T>(inner: Rule<T>, most: number): Rule<T[]> {
  const filled = list(inner, most)
  const is = (input: unknown): input is T[] =>
    (Array.isArray(input) && input.length === 0) || filled.is(input)
  return { ...filled, is }
}

export function object<S extends Shape>(shape: S): Rule<Fields<S>> {
  const is = (input: unknown): input is Fields<S> =>
    isObject(input) && firstBroken(shape, input) === undefined
  const explain = (input: unknown): string => {
    if (!isObject(input)) return 'must be an object'
    const broken = firstBroken(shape, input)
    return broken === undefined
      ? 'is fine'
      : `has a field ${broken} that ${shape[broken]?.explain(input[broken])}`
  }
  return { is, explain, fields: shape }
}

function firstBroken(shape: Shape, input: Record<string, unknown>): string | undefined {
  for (const key in shape) if (!shape[key]?.is(Object.hasOwn(input, key) ? input[key] : undefined)) return key
  return undefined
}

/** Copies the fields of the shape into `value`, and ignores all other fields of the input [WF6]. */
export function readFields<S extends Shape>(
  shape: S,
  input: Record<string, unknown>,
  value: Record<string, unknown> = {},
): Decoded<Fields<S>> {
  for (const key in shape) {
    const field = Object.hasOwn(input, key) ? input[key] : undefined
    const wanted = shape[key]
    if (wanted === undefined) continue
    if (!wanted.is(field))
      return {
        ok: false,
        error: protocolError(wanted.code ?? 'bad-field', `${key} ${wanted.explain(field)}`),
      }
    if (field !== undefined) value[key] = field
  }
  return { ok: true, value: value as Fields<S> }
}

/** Whether a parsed JSON value is nested at most `most` levels deep. A scalar is level 0. */
export function isShallow(input: unknown, most: number): boolean {
  if (!isNested(input)) return true
  if (most === 0) return false
  // Object.values for an object, or keys for an array, would make the whole decoding a tenth slower.
  if (Array.isArray(input)) return input.every((item) => !isNested(item) || isShallow(item, most - 1))
  for (const key in input) if (isNested(input[key]) && !isShallow(input[key], most - 1)) return false
  return true
}

function isNested(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null
}

// The rules for the fields of frames.

const isString = (input: unknown): input is string => typeof input === 'string'
export const string = rule(isString, 'must be a string')
export const text = (most: number): Rule<string> =>
  rule(
    (input): input is string => isString(input) && input.length <= most,
    `must be a string of at most ${most} characters`,
  )
export const body: Rule<string> = {
  is: (input): input is string => isString(input) && input.length <= limits.bodyLength,
  explain: (input) => (isString(input) ? `is over ${limits.bodyLength} characters` : 'must be a string'),
}
export const flag = rule((input): input is boolean => typeof input === 'boolean', 'must be true or false')
export const natural = rule(
  (input): input is number => Number.isSafeInteger(input) && Number(input) >= 0,
  'must be a whole number, 0 or more',
)
export const upTo = (most: number): Rule<number> =>
  rule(
    (input): input is number => natural.is(input) && input <= most,
    `must be a whole number from 0 to ${most}`,
  )
const grammatical = <T>(parse: (input: unknown) => Parsed<T>): Rule<T> => ({
  is: (input): input is T => parse(input).ok,
  explain: (input) => {
    const parsed = parse(input)
    return parsed.ok ? 'is fine' : `breaks the grammar: ${parsed.problem}`
  },
  code: 'bad-name',
})
export const name = grammatical<Name>(parseName)
export const room = grammatical<Room>(parseRoom)
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
/** Which of the last 64 messages the recipient could not read: bit i of the number stands for seq next - 1 - i [WD19]. */
export const unread = rule(
  (input): input is string => isString(input) && UNREAD_PATTERN.test(input),
  'must be 1 to 16 hexadecimal digits in lower case',
)
const HANDSHAKE_PATTERN = /^[A-Za-z0-9_-]{1,32}$/
/** Each node on the path of a signal logs it. */
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
