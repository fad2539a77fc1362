import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'

// Checks the files that a release and CI depend on, and that no program of ours reads.

const ROOT = new URL('../', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8')
const namesIn = (folder: string): string[] => readdirSync(new URL(folder, ROOT))

const manifestSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  private: z.boolean().optional(),
  engines: z.object({ node: z.string() }).optional(),
  scripts: z.record(z.string(), z.string()).optional(),
  dependencies: z.record(z.string(), z.string()).optional(),
  homepage: z.unknown().optional(),
  bugs: z.unknown().optional(),
  repository: z.unknown().optional(),
})
const manifestOf = (folder: string): z.infer<typeof manifestSchema> =>
  manifestSchema.parse(JSON.parse(read(`${folder}package.json`)))

const workflowSchema = z.object({
  jobs: z.record(
    z.string(),
    z.object({
      strategy: z.object({ matrix: z.object({ node: z.array(z.number()) }) }).optional(),
      steps: z.array(z.looseObject({ uses: z.string().optional(), run: z.string().optional() })),
    }),
  ),
})
const workflowOf = (name: string): z.infer<typeof workflowSchema> =>
  workflowSchema.parse(parse(read(`.github/workflows/${name}`)))

const root = manifestOf('')
const packages = namesIn('packages').map((name) => ({ folder: name, ...manifestOf(`packages/${name}/`) }))

test('CI runs check and test on Node 20 and on the lines that test:nodes tries: those that engines allow', () => {
  const tried = [...read('scripts/nodes.mjs').matchAll(/(\d+): '\1\./g)].map(([, line]) => Number(line))
  const allowed = [...(root.engines?.node ?? '').matchAll(/(?:\^|>=)(\d+)\./g)].map(([, line]) =>
    Number(line),
  )
  expect(allowed).toEqual([20, ...tried])
  const { check, test: tests } = workflowOf('ci.yml').jobs
  for (const job of [check, tests]) expect(job?.strategy?.matrix.node).toEqual(allowed)
})

test('workflows run scripts that there are, and actions of a version', () => {
  const steps = namesIn('.github/workflows').flatMap((name) =>
    Object.values(workflowOf(name).jobs).flatMap((job) => job.steps),
  )
  for (const { uses, run = '' } of steps) {
    if (uses !== undefined) expect(uses).toMatch(/^[\w-]+\/[\w-]+@(?:v\d+|[0-9a-f]{40})$/)
    for (const [, name = ''] of run.matchAll(/npm (?:run )?(check|test|build|version)\b/g))
      expect(Object.keys(root.scripts ?? {})).toContain(name)
  }
})

test('all packages have one version, and so has everything else that names it', () => {
  for (const { name, version, dependencies = {} } of packages) {
    expect([name, version]).toEqual([name, root.version])
    for (const [other, range] of Object.entries(dependencies))
      if (other.startsWith('@peerage/')) expect([name, other, range]).toEqual([name, other, root.version])
  }
  expect(read('Dockerfile')).toContain(`-t peerage:${root.version} `)
  expect(read('k8s/base/kustomization.yaml')).toContain(`newTag: ${root.version}\n`)
  const { fixed } = z
    .object({ fixed: z.array(z.array(z.string())) })
    .parse(JSON.parse(read('.changeset/config.json')))
  expect(fixed).toEqual([['@peerage/*']])
})

test('each changeset names packages of ours', () => {
  for (const file of namesIn('.changeset').filter((name) => name.endsWith('.md') && name !== 'README.md')) {
    const head = parse(/^---\n(.*?)\n---\n/s.exec(read(`.changeset/${file}`))?.[1] ?? '')
    for (const name of Object.keys(z.record(z.string(), z.enum(['major', 'minor', 'patch'])).parse(head)))
      expect(packages.map((one) => one.name)).toContain(name)
  }
})

test('the packages name one repository, or none of them names any yet', () => {
  const published = packages.filter((one) => one.private !== true)
  for (const field of ['homepage', 'bugs', 'repository'] as const) {
    const having = published.filter((one) => one[field] !== undefined).map(({ name }) => name)
    expect(having).toEqual(root[field] === undefined ? [] : published.map(({ name }) => name))
  }
  if (root.repository === undefined) return
  const { url } = z.object({ url: z.string() }).parse(root.repository)
  for (const { folder, repository } of published)
    expect(repository).toEqual({ type: 'git', url, directory: `packages/${folder}` })
})
