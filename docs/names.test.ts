import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { closeCodes, closeReasonOf, temporary } from '@peerage/protocol'
import { blocksOf, documents, filesOf, inlineCodeOf, readDocument } from '@peerage/test-support/documents.js'
import { REPOSITORY } from '@peerage/test-support/node.js'

// Names in the documents are names in the code: identifiers, variables, metrics, codes and files.

const read = (file: string): string => readFileSync(join(REPOSITORY, file), 'utf8')
const isCode = (file: string): boolean =>
  /\.(?:tsx?|m?js|json|ya?ml|py|sh|conf|cfg|acl|html|css)$|^Dockerfile$/.test(file) &&
  !/\.test\.tsx?$|^bench\/results\/|^package-lock\.json$/.test(file)

/** Names of others. A word that is not in our code, and is right in a document, belongs here. */
const FOREIGN = new Set(
  [
    // Node, OpenSSL and TLS
    ['CERT_HAS_EXPIRED', 'EHOSTUNREACH', 'SELF_SIGNED_CERT_IN_CHAIN', 'TLS_AES_128_GCM_SHA256'],
    // Redis
    ['MGET', 'PTTL'],
    // Capacitor and Tauri
    ['androidScheme', 'useHttpsScheme'],
    // PeerJS
    ['message-too-big', 'peer-unavailable', 'server-error', 'unavailable-id'],
    ['binary-utf8', 'createWebSocketServer', 'generateClientId'],
    // trystero
    ['turnConfig'],
    // Optional packages of ws
    ['bufferutil', 'utf-8-validate'],
  ].flat(),
)
/** Examples, and files that `npm pack` writes. */
const EXAMPLES = new Set([
  'a-f',
  'hi',
  'peerage-client',
  'peerage-protocol',
  'app/id',
  'app/name',
  'app/room',
])

let files: string[]
let texts: string[]
/** The words of all code, and the variables in the tables of settings.md, which scripts/docs.mjs writes. */
const known = new Set<string>()

beforeAll(async () => {
  files = await filesOf()
  texts = await documents()
  for (const file of files.filter(isCode))
    for (const [word] of read(file).matchAll(/[\w$]+(?:-\w+)*/g))
      for (const part of [word, ...word.split('-')]) known.add(part)
  // The code makes these from a prefix.
  for (const variable of ['PEERAGE_CONFIG', 'PEERAGE_STUN_CONFIG']) known.add(variable)
  const rows = read('docs/settings.md').match(/^\|.*$/gm) ?? []
  for (const [variable] of rows.join().matchAll(/PEERAGE_\w+/g)) known.add(variable)
})

interface Named {
  document: string
  name: string
}

/** The names in the documents that are wrong. `least`: how many names there are at least, right or wrong. */
function wrong(
  least: number,
  namesOf: (document: string) => string[],
  isRight: (name: string) => boolean,
): Named[] {
  const named = texts.flatMap((document) => namesOf(document).map((name) => ({ document, name })))
  expect(named.length).toBeGreaterThanOrEqual(least)
  return named.filter(({ name }) => !isRight(name))
}

const isKnown = (name: string): boolean => known.has(name) || FOREIGN.has(name) || EXAMPLES.has(name)

test('every word in backticks is in the code', () => {
  const wordsOf = (document: string): string[] =>
    inlineCodeOf(document).filter((code) => /^[A-Za-z]\w*(?:-\w+)*$/.test(code))
  expect(wrong(500, wordsOf, isKnown)).toEqual([])
})

test('every environment variable and constant is in the code', () => {
  const constantsOf = (document: string): string[] =>
    Array.from(readDocument(document).matchAll(/\b[A-Z]+(?:_[A-Z\d]+)+\b/g), ([name]) => name)
  expect(wrong(50, constantsOf, isKnown)).toEqual([])
})

test('every metric that documents, alerts, the dashboard and the manifests name exists', () => {
  const sources = files.filter((file) => isCode(file) && file.startsWith('packages/server/src/metrics/'))
  const metrics = new Set(
    sources.flatMap((file) => Array.from(read(file).matchAll(/'(peerage_\w+)'/g), ([, name]) => name)),
  )
  const places = [...texts, ...files.filter((file) => /^(?:deploy|k8s)\/.*\.(?:ya?ml|json)$/.test(file))]
  const named = places.flatMap((place) =>
    Array.from(read(place).matchAll(/\bpeerage_\w+/g), ([name]) => ({ place, name })),
  )
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter(({ name }) => !metrics.has(name.replace(/_(?:bucket|sum|count)$/, '')))).toEqual([])
})

/** The values of a type that is a union of words. */
function valuesOf(file: string, type: string): string[] {
  const [, union = ''] = read(file).split(`export type ${type} =`)
  return Array.from(union.split('\n\n', 1)[0]?.matchAll(/'([a-z-]+)'/g) ?? [], ([, value = '']) => value)
}

/** The rows of all tables of a document, each as its cells by the heads of their columns. */
function rowsOf(document: string): Map<string, string>[] {
  const cellsOf = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const tables = readDocument(document).matchAll(/^(\|.*\|)\n\|[-:| ]+\|\n((?:\|.*\|\n)+)/gm)
  return Array.from(tables, ([, head = '', rows = '']) => {
    const columns = cellsOf(head)
    return rows
      .trimEnd()
      .split('\n')
      .map((row) => new Map(cellsOf(row).map((cell, i) => [columns[i] ?? '', cell])))
  }).flat()
}
const wordsOfCell = (cell = ''): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, word = '']) => word)

test('codes, stages and reasons in tables are those of the code', () => {
  const codes = new Set([
    ...Object.keys(temporary),
    ...Object.keys(closeCodes),
    ...valuesOf('packages/client/src/lib/error.ts', 'SendFailure'),
    ...valuesOf('packages/client/src/lib/error.ts', 'PeerageErrorCode'),
    ...valuesOf('packages/client/src/p2p/connect-error.ts', 'FailureStage'),
    ...valuesOf('packages/core/src/node.ts', 'Unready'),
  ])
  const codesOf = (document: string): string[] =>
    rowsOf(document).flatMap((row) =>
      ['code', 'stage', 'reason'].flatMap((head) => wordsOfCell(row.get(head))),
    )
  expect(wrong(60, codesOf, (code) => codes.has(code))).toEqual([])
})

test('close codes in tables have their reasons', () => {
  const rows = texts.flatMap(rowsOf).filter((row) => row.has('code') && row.has('reason'))
  const pairs = rows.map((row) => ({
    numbers: row.get('code')?.match(/\b4\d{3}\b/g) ?? [],
    reasons: wordsOfCell(row.get('reason')),
  }))
  expect(pairs.length).toBeGreaterThan(15)
  for (const { numbers, reasons } of pairs)
    expect(reasons, numbers.join()).toEqual(numbers.map((number) => closeReasonOf(Number(number))))
})

test('close codes in the text exist', () => {
  const numbersOf = (document: string): string[] =>
    Array.from(readDocument(document).matchAll(/\b(?:code|with) (4\d{3})\b/g), ([, number = '']) => number)
  expect(wrong(5, numbersOf, (number) => closeReasonOf(Number(number)) !== undefined)).toEqual([])
})

/** Paths of files and folders that a build or a run writes. */
const BUILT = ['packages/client/dist/bundle/peerage.js', 'bench/dist/bench/scaling.js', '.work/stacks.json']

test('every path in code leads to a file or folder', () => {
  const paths = new Set<string>()
  for (const file of [...files, ...BUILT])
    for (let path = file; path !== '.'; path = dirname(path)) paths.add(path)
  const all = [...paths]
  const folders = new Set(all.map(dirname).flatMap((folder) => folder.split('/')))
  // A document may leave out the first folders: `channel/channel.ts`.
  const exists = (path: string): boolean =>
    EXAMPLES.has(path) || paths.has(path) || all.some((one) => one.endsWith(`/${path}`))
  const isPath = (word: string): boolean =>
    /^\.?\w[\w-]*\//.test(word) &&
    (folders.has(word.split('/')[0] ?? '') || /\.(?:[cm]?js|tsx?|ya?ml|json|md)$/.test(word))
  const pathsOf = (document: string): string[] => {
    const shells = blocksOf(document).filter(({ language }) => language === 'sh')
    return [...inlineCodeOf(document), ...shells.map(({ text }) => text)]
      .flatMap((code) => code.split(/\s+/))
      .filter(isPath)
      .map((word) => word.replace(/\/(?:[^/]*\*.*)?$/, ''))
  }
  expect(wrong(50, pathsOf, exists)).toEqual([])
})
