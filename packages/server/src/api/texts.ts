import type { z } from 'zod'

/** What is wrong with a value, where its shape has no text of its own. It says what the value must be. */
export function textOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${KINDS[issue.expected] ?? issue.expected}`
    case 'too_big':
      return `must ${isSized(issue.origin) ? 'have' : 'be'} at most ${issue.maximum}${unitOf(issue.origin)}`
    case 'too_small':
      if (isSized(issue.origin) && Number(issue.minimum) === 1) return 'must not be empty'
      return `must ${isSized(issue.origin) ? 'have' : 'be'} at least ${issue.minimum}${unitOf(issue.origin)}`
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`
    case 'invalid_format':
      return issue.format === 'base64' ? 'must be base64 (RFC 4648 §4)' : `must be a valid ${issue.format}`
    case 'unrecognized_keys':
      return 'is unknown'
    case 'not_multiple_of':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return 'is not valid'
  }
}

const KINDS: Partial<Record<string, string>> = {
  string: 'a string',
  // Shapes of the API have no other numbers.
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
}

function isSized(origin: string): boolean {
  return origin === 'string' || origin === 'array'
}

function unitOf(origin: string): string {
  if (origin === 'string') return ' characters'
  return origin === 'array' ? ' entries' : ''
}
