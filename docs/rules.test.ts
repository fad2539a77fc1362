import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { documents, readDocument } from '@peerage/test-support/documents.js'

// Rules of the SPECs and invariants are cited by their IDs: each is written in one place, and each has a test.

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const files = ['packages', 'test', 'bench', 'examples'].flatMap(filesBelow)
const ID = /[A-Z]{1,5}\d{1,2}/

/** Where each rule is written: `- **WF1** …` or a row `| ST1 | …`, in the SPEC of its wire. */
const written = new Map<string, string>()
for (const file of files.filter((name) => name.endsWith('/SPEC.md')))
  for (const [, inList, inTable] of read(file).matchAll(/^(?:- \*\*([A-Z]+\d+)\*\* |\| ([A-Z]+\d+) \|)/gm)) {
    const id = inList ?? inTable ?? ''
    expect(written.get(id), `${id} of ${file}`).toBeUndefined()
    written.set(id, file)
  }
const invariants = new Map(
  Array.from(
    read('docs/invariants.md').matchAll(/^### (I\d+): .*\n(?:.*\n)+?Shown by: (.*)$/gm),
    ([, id, shown]) => [
      id ?? '',
      Array.from((shown ?? '').matchAll(/\]\(([^)#]+)\)/g), ([, link]) => join('docs', link ?? '')),
    ],
  ),
)
/** The faults of the chaos bench: `npm run chaos -- --faults F1`. */
const faults = new Set(
  files
    .filter((file) => file.startsWith('test/chaos/faults/'))
    .flatMap((file) => [...read(file).matchAll(/\bid(?::| =) ['`](F\d+)/g)].map(([, id]) => id ?? '')),
)

const code = files.filter((file) => /\.(ts|tsx|mjs|py)$/.test(file) && !file.startsWith('docs/'))
/** The IDs in texts of tests, which are their titles, each with the files that have it. */
const titled = new Map<string, Set<string>>()
for (const file of code.filter((name) => /\.test\.tsx?$|\/contracts\/|^test\//.test(name)))
  for (const [title] of read(file).matchAll(/^(?! *(?:\/\/|\/?\*)).*['"`].*\[[A-Z]+\d+\].*/gm))
    for (const [id] of title.matchAll(new RegExp(ID, 'g')))
      titled.set(id, (titled.get(id) ?? new Set()).add(file))

test('each SPEC has rule prefixes of its own', () => {
  const owners = new Map<string, Set<string>>()
  for (const [id, file] of written) {
    const prefix = id.replace(/\d+$/, '')
    owners.set(prefix, (owners.get(prefix) ?? new Set()).add(file))
  }
  for (const [prefix, by] of owners) expect([...by], prefix).toHaveLength(1)
  expect(new Set([...written.values()].map((file) => dirname(file))).size).toBeGreaterThanOrEqual(5)
})

test('each rule of a SPEC is in the title of a test', () => {
  expect(written.size).toBeGreaterThan(200)
  expect([...written.keys()].filter((id) => !titled.has(id))).toEqual([])
})

test('each invariant is in the title of each test that docs/invariants.md names for it', () => {
  expect([...invariants.keys()].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))).toEqual(
    Array.from({ length: 17 }, (_, i) => `I${i + 1}`),
  )
  for (const [id, shown] of invariants) {
    expect(shown, id).not.toEqual([])
    for (const file of shown) expect([...(titled.get(id) ?? [])], `${id} in a title`).toContain(file)
  }
})

const known = (id: string): boolean => written.has(id) || invariants.has(id) || faults.has(id)

test('every ID in a document is one of a rule, an invariant or a fault', async () => {
  const names = new Set(['ES256', 'HS256', 'P256', 'PS256', 'RS256', 'SHA1', 'SHA256', 'SPAKE2', 'V8'])
  const cited = (await documents()).flatMap((document) =>
    Array.from(readDocument(document).matchAll(/\b[A-Z]+\d+\b/g), ([id]) => ({ document, id })),
  )
  expect(cited.length).toBeGreaterThan(300)
  const unknown = cited.filter(({ id }) => !known(id) && !names.has(id))
  // This SPEC says that there are no such rules.
  const absent = ['PP30', 'PP31'].map((id) => ({ document: 'packages/client/SPEC.md', id }))
  expect(unknown).toEqual(absent)
})

test('what is cited in brackets is written somewhere', () => {
  const unknown = code.flatMap((file) =>
    Array.from(read(file).matchAll(/\[([A-Z]{1,5}\d{1,2}(?:, [A-Z]{1,5}\d{1,2})*)\]/g), ([, ids = '']) =>
      ids
        .split(', ')
        .filter((id) => !known(id) && !/^IPV[46]$/.test(id))
        .map((id) => `${file}: ${id}`),
    ).flat(),
  )
  expect(unknown).toEqual([])
})

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (!entry.isDirectory()) return [path]
    return entry.name === 'node_modules' || entry.name === 'dist' ? [] : filesBelow(path)
  })
}
