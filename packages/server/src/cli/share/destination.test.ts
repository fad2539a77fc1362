import { codeWords } from '@peerage/client/transfer'
import { beforeAll, expect, test } from 'vitest'
import { pageOf } from './connection.js'
import { askDestination, parseDestination, wordsFor } from './destination.js'

const FRAGMENT = 'EKrOrFgnr2E7g_DBxnY5Yz8yiE2YDn0Cam2I6nftwBJx'
const LINK = `https://peers.example/?peer_id=ann#${FRAGMENT}`

let words: readonly string[]
beforeAll(async () => void (words = await codeWords()))

test('a link holds its server', () => {
  const where = { name: 'ann', fragment: FRAGMENT }
  expect(parseDestination(LINK, words)).toEqual({
    where,
    page: 'https://peers.example/',
    needsPassword: false,
  })
  const behind = `http://127.0.0.1:9000/files/?peer_id=ann#${FRAGMENT}`
  expect(parseDestination(behind, words).page).toBe('http://127.0.0.1:9000/files/')
})

test.each([
  ['https://peers.example/', 'is no link of a share: it has no peer_id'],
  ['https://peers.example/?peer_id=', 'the name in the link is wrong'],
  ['https://peers.example/?peer_id=ann', 'has no part after #'],
  [LINK.slice(0, -1), 'the end of the link is missing'],
  [`${LINK}abc`, 'something follows the link'],
  [LINK.replace('#E', '#Z'), 'another version'],
  [LINK.replace('#E', '#é'), 'characters that no link has'],
  ['hello', '"hello" is neither a link nor a code'],
  ['17', 'a word is missing'],
  ['17-zzzz-otter-tulip', 'the word zzzz is in no code'],
])('%s: %s', (text, says) => expect(() => parseDestination(text, words)).toThrow(says))

test('a code may be written in many ways', () => {
  const [first = '', second = '', third = ''] = words
  const where = `17-${first}-${second}-${third}`
  for (const text of [where, ` 17 ${first} ${second}  ${third.toUpperCase()} `])
    expect(parseDestination(text, words)).toEqual({ where, page: undefined, needsPassword: false })
})

test('Tab completes the words of a code', () => {
  const complete = wordsFor(words)
  const [found, last] = complete('17-aci')
  expect(last).toBe('aci')
  expect(found.length).toBeGreaterThan(0)
  for (const word of found) expect(word).toMatch(/^aci/)
  const [only = ''] = words
  expect(complete(`17-${only}`)[1]).toBe(only)
  expect(complete('1')).toEqual([[], '1'])
})

test('a person who mistypes is asked again', async () => {
  const answers = ['', '17-zzzz', LINK]
  const said: string[] = []
  const asker = { ask: async () => answers.shift() }
  expect((await askDestination(asker, words, (line) => said.push(line)))?.page).toBe('https://peers.example/')
  expect(said).toEqual(['the word zzzz is in no code: ask for its spelling'])
  expect(await askDestination(asker, words, () => {})).toBeUndefined()
})

test.each([
  ['peers.example', 'http://peers.example/'],
  ['wss://peers.example/path', 'https://peers.example/path'],
  ['http://[::1]:9000', 'http://[::1]:9000/'],
  ['ftp://peers.example', undefined],
  ['http://user@peers.example', undefined],
  ['http://', undefined],
])('the page of the server %s is %s', (server, page) => expect(pageOf(server)).toBe(page))
