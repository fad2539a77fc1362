import { parseName } from '@peerage/protocol'
import type { Name, Parsed } from '@peerage/protocol'
import { given } from './check.js'
import { PeerageError } from './error.js'

/** @throws PeerageError `bad-name` with the argument's name, the rule and the given value */
export function nameOrThrow(input: unknown, argument = 'name'): Name {
  return parsedOrThrow(input, argument, parseName)
}

/** @throws PeerageError with the argument's name, the rule and the given value */
export function parsedOrThrow<T>(
  input: unknown,
  argument: string,
  parse: (input: unknown) => Parsed<T>,
  code: 'bad-name' | 'bad-field' = 'bad-name',
): T {
  const parsed = parse(input)
  if (!parsed.ok) throw new PeerageError(code, given(argument, parsed.problem, input))
  return parsed.value
}
