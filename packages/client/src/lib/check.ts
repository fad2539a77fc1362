// Checks the arguments of an application. A wrong argument is a TypeError that names it. Every public function and
// method checks its arguments here, so that a wrong one is neither ignored nor fails later in another place.

/** What an argument must be: in words, and as a test. */
export interface Kind {
  rule: string
  is: (value: unknown) => boolean
}

/** What each option of an interface must be. The type requires an entry for every option. */
export type Kinds<T> = { [K in keyof Required<T>]: Kind }

const kind = (rule: string, is: Kind['is']): Kind => ({ rule, is })

export const aText = kind('a string', (value) => typeof value === 'string')
export const aFlag = kind('true or false', (value) => typeof value === 'boolean')
export const aFunction = kind('a function', (value) => typeof value === 'function')
/** A plain function is allowed without these methods, because it may return a connection that another class has made. */
export const aPeerConnectionClass = kind(
  "a class with the interface of the browser's RTCPeerConnection",
  (value) =>
    typeof value === 'function' &&
    Object(value.prototype) === value.prototype &&
    (typeof value.prototype.createDataChannel === 'function' ||
      !/^class\b|\[native code\]/.test(Function.prototype.toString.call(value))),
)
/** Infinity is allowed. */
export const aTime = kind(
  'a number of milliseconds from 0 up',
  (value) => typeof value === 'number' && value >= 0,
)
export const aTimeUpTo = (most: number): Kind =>
  kind(`a number of milliseconds from 0 to ${most}`, (value) => aTime.is(value) && Number(value) <= most)
export const anArray = kind('an array', Array.isArray)
/** Text or bytes, as a channel carries them. */
export const channelData = kind(
  'a string, an ArrayBuffer or a view of one',
  (value) => typeof value === 'string' || value instanceof ArrayBuffer || ArrayBuffer.isView(value),
)

export const textUpTo = (most: number): Kind =>
  kind(`a string of at most ${most} characters`, (value) => typeof value === 'string' && value.length <= most)

export const wholeUpTo = (most: number): Kind =>
  kind(
    `a whole number from 0 to ${most}`,
    (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most,
  )

export const oneOf = (...values: string[]): Kind =>
  kind(`one of ${values.map(shown).join(', ')}`, (value) => values.some((one) => one === value))

export const either = (...kinds: Kind[]): Kind =>
  kind(kinds.map(({ rule }) => rule).join(' or '), (value) => kinds.some(({ is }) => is(value)))

export const aNull = kind('null', (value) => value === null)
export const aFalse = kind('false', (value) => value === false)
/** Other objects have no options: an array, a Map, or an AbortSignal that was passed without `{ signal }` around it. */
export const anObject = kind(
  'a plain object',
  (value) => Object.prototype.toString.call(value) === '[object Object]',
)

/** An object with these methods. Its class does not matter: it may be of another realm, or of the application. */
export const objectWith = (what: string, ...methods: string[]): Kind =>
  kind(
    what,
    (value) =>
      Object(value) === value &&
      methods.every((one) => typeof Reflect.get(Object(value), one) === 'function'),
  )

export const aSignal = objectWith('an AbortSignal', 'addEventListener', 'removeEventListener')

/** @throws TypeError that names the argument, the rule, and what was given */
export function check(name: string, value: unknown, { rule, is }: Kind): void {
  if (!is(value)) throw new TypeError(`${name} must be ${rule}; it is ${shown(value)}`)
}

/** @throws TypeError if arguments follow the only one of a method, as in `room.send('bob', data)` */
export function checkAlone(more: unknown[], hint: string): void {
  const [first] = more
  if (first !== undefined) throw new TypeError(`${hint}; the second argument is ${shown(first)}`)
}

/** @throws TypeError if `options` is not a plain object, or has an unknown option, or one with a wrong value */
export function checkOptions<T extends object>(options: T, kinds: Kinds<T>, name = 'options'): void {
  check(name, options, anObject)
  for (const [key, value] of Object.entries(options)) {
    checkKnown('option', key, kinds)
    if (value !== undefined) check(key, value, kinds[key as keyof T])
  }
}

/** @throws TypeError for a name that is not a key of `known`; its text suggests the nearest one */
export function checkKnown(what: string, name: unknown, known: object): void {
  if (typeof name === 'string' && Object.hasOwn(known, name)) return
  const names = Object.keys(known)
  const hint = typeof name === 'string' ? hintFor(what, name, names) : '.'
  throw new TypeError(`there is no ${what} ${shown(name)}${hint} There are: ${names.join(', ')}`)
}

/** The problem that a parser found, with the argument's name in place of the parser's word, and the given value. */
export function given(argument: string, problem: string, value: unknown): string {
  return `${problem.replace(/^\w+/, () => argument)}; it is ${shown(value)}`
}

const ICE_SERVERS = ': the node sets them (`p2p.turn.urls`), and so does the option `p2pServer`.'
/** For each right name: what other libraries call it, and values of the event. */
const aliases: Partial<Record<string, string>> = {
  name: 'id username user',
  deadlineMs: 'timeout timeoutMs',
  timeoutMs: 'deadlineMs',
  message: 'data',
  state: 'open close connect disconnect disconnected',
  member: 'join leave joined left away presence',
  'channel-opened': 'open connect connection',
  'channel-closed': 'close closed disconnect',
  close: 'disconnect',
  'connect-failed': 'error',
}
/** Which object has an event. An alias of several of these events means the first of them. */
const homes: Partial<Record<string, string>> = {
  'channel-opened': '`peer.p2p`',
  state: 'the peer',
  presence: 'the peer',
  error: 'the peer',
  member: 'a room',
  message: 'a channel',
  'channel-closed': '`peer.p2p`',
  'connect-failed': '`peer.p2p`',
}

const SHOWN_LENGTH = 64

export function shown(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > SHOWN_LENGTH ? `${value.slice(0, SHOWN_LENGTH)}…` : value)
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'an array'
  if (typeof value !== 'object' || value === null) return String(value)
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  return tag === 'Object' ? 'an object' : `an object (${tag})`
}

/** What to use in place of `word`: one of `names`, or an event of another object. */
function hintFor(what: string, word: string, names: string[]): string {
  const meant = nearest(word, names)
  if (meant !== undefined) return `: did you mean ${shown(meant)}?`
  if (what === 'event') {
    const event = Object.hasOwn(homes, word) ? word : aliased(word, Object.keys(homes))
    if (event !== undefined) return `: did you mean ${shown(event)} of ${homes[event]}?`
  }
  return word === 'iceServers' ? ICE_SERVERS : '.'
}

const aliased = (word: string, names: string[]): string | undefined =>
  names.find((name) => aliases[name]?.split(' ').includes(word))

/**
 * The name that was probably meant: by an alias, up to two typing errors, another case, or the beginning of a longer
 * name.
 */
function nearest(word: string, names: string[]): string | undefined {
  const alias = aliased(word, names)
  if (alias !== undefined) return alias
  const small = word.toLowerCase()
  const far = (name: string): number =>
    small.length > 2 && name.toLowerCase().startsWith(small) ? 0.5 : distance(small, name.toLowerCase())
  const [best] = [...names].sort((a, b) => far(a) - far(b))
  return best !== undefined && far(best) <= Math.min(2, small.length / 2) ? best : undefined
}

/** Levenshtein distance: the number of letters to add, remove or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min((row[j] ?? 0) + (a[i] === b[j] ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    row = next
  }
  return row[b.length] ?? 0
}
