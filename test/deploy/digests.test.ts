import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { filesThere, K8S } from './manifests.js'

const DIGEST = /^sha256:[0-9a-f]{64}$/

/** What a text says about images: the digest of each reference, with its line. */
function digestsIn(text: string): string[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line))
  return lines.flatMap((line) => {
    const [, reference] = /^(?:FROM\b.*?|\s*image:\s*\S+?)@(\S+)/.exec(line) ?? []
    const [, alone] = /^\s*(?:-\s+)?digest:\s*(\S+)/.exec(line) ?? []
    return [reference, alone].filter((digest) => digest !== undefined)
  })
}

test('every digest of an image is well-formed', async () => {
  const files = [
    `${REPOSITORY}Dockerfile`,
    `${REPOSITORY}docker-compose.yml`,
    ...(await filesThere()).map((name) => `${K8S}/${name}`),
  ]
  for (const file of files)
    for (const digest of digestsIn(await readFile(file, 'utf8')))
      expect([file, digest]).toEqual([file, expect.stringMatching(DIGEST)])
})

test('the check sees digests in each of the three kinds of file', () => {
  const good = `sha256:${'0a'.repeat(32)}`
  expect(digestsIn(`FROM --platform=$BUILDPLATFORM node:26-trixie-slim@${good} AS build`)).toEqual([good])
  expect(digestsIn(`    image: redis:7.4@${good}`)).toEqual([good])
  expect(digestsIn(`images:\n  - name: peerage\n    digest: ${good}`)).toEqual([good])
  expect(digestsIn('    image: redis:7.4@latest')[0]).not.toMatch(DIGEST)
})

test('Renovate adds digests, also to the manifests', async () => {
  const renovate = z
    .looseObject({
      extends: z.array(z.string()),
      kubernetes: z.object({ managerFilePatterns: z.array(z.string()) }),
    })
    .parse(JSON.parse(await readFile(`${REPOSITORY}renovate.json`, 'utf8')))
  expect(renovate.extends).toContain('docker:pinDigests')
  const [pattern = ''] = renovate.kubernetes.managerFilePatterns
  expect('k8s/base/turn-deployment.yaml').toMatch(new RegExp(pattern.slice(1, -1)))
})
