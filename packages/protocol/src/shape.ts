import type { ErrorCode, ProtocolError } from './errors.js'
import { protocolError } from './errors.js'

/** What a field must be: a guard, and the words for whoever broke it. */
export interface Rule<T> {
  is(input: unknown): input is T
  explain(input: unknown): string
  code?: ErrorCode
  /** Of an object: its fields. */
  fields?: Shape
  /** Of a list: what it holds. */
  item?: Rule<unknown>
}

export type Shape = Record<string, Rule<unknown>>
type Value<R> = R extends Rule<infer T> ? T : never
type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends Value<S[K]> ? K : never }[keyof S]
/** The object that a shape describes; fields that may be undefined may also be absent. */
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
    if (input.length === 0 || input.length > most) return `must be a list of 1 to ${most}`
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

/** Reads exactly the fields of the shape, into `value`; what else the input holds is left behind [F6]. */
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

/** Whether a parsed JSON value is nested at most `most` levels deep: a scalar is level 0. */
export function isShallow(input: unknown, most: number): boolean {
  if (!isNested(input)) return true
  if (most === 0) return false
  // A list of an object's values costs more than all the rest of this, and so do names for the places of an array.
  if (Array.isArray(input)) return input.every((item) => !isNested(item) || isShallow(item, most - 1))
  for (const key in input) if (isNested(input[key]) && !isShallow(input[key], most - 1)) return false
  return true
}

function isNested(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null
}
