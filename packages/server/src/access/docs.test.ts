import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf } from '@peerage/test-support/documents.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { expect, onTestFinished, test } from 'vitest'
import { nodeDefinition } from '../config/check.js'
import { resolve } from '../config/load.js'
import { readYaml } from '../config/yaml-file.js'
import { asked, chat, SECRET } from '../testing/tokens.js'
import { grantsSchema, peerageSchema } from './claims.js'
import { createOutbound } from './outbound.js'
import { tokenAccess } from './token-access.js'
import { readWebhookAnswer } from './webhook-answer.js'

const blocks = blocksOf('docs/access.md')
const textsOf = (language: string): string[] =>
  blocks.filter((block) => block.language === language).map(({ text }) => text)

test('the configuration in docs/access.md is valid', () => {
  const [yaml = ''] = textsOf('yaml')
  const { leaves } = nodeDefinition
  const layer = readYaml({ name: 'peerage.yaml', text: yaml }, { leaves, readFile: () => SECRET })
  expect(resolve(nodeDefinition, [layer])).toMatchObject({ ok: true })
})

test('the claim and the answers of webhooks in docs/access.md are valid', () => {
  const [claim = '', , ...answers] = textsOf('json')
  expect(peerageSchema.safeParse(JSON.parse(claim))).toMatchObject({ success: true })
  const { claim: _, ...grants }: Record<string, unknown> = JSON.parse(claim)
  expect(grantsSchema.safeParse(grants)).toMatchObject({ success: true })
  const read = answers.map((text) => readWebhookAnswer(text, { app: chat, request: asked(), now: 0 }))
  expect(read).toMatchObject([
    { ok: true, answer: { decision: { ok: true, identity: 'user-7' } } },
    { ok: true, answer: { decision: { ok: false, detail: 'sign in first' } } },
  ])
})

test('the program of docs/access.md makes tokens that a node takes', async () => {
  const [program = ''] = textsOf('js')
  const directory = await mkdtemp(join(REPOSITORY, 'node_modules', '.access-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await writeFile(join(directory, 'games-token'), SECRET)
  const path = join(directory, 'tokens.mjs')
  await writeFile(path, program.replace("'games-token'", `'${join(directory, 'games-token')}'`))
  const { tokenFor }: { tokenFor: (user: string) => Promise<string> } = await import(path)
  const clock = { now: () => Date.now(), monotonic: () => performance.now(), after: () => ({ cancel() {} }) }
  const settings = {
    algorithms: ['HS256'] as const,
    keys: { type: 'secret' as const, secret: SECRET, previousSecret: null },
    typ: null,
    issuer: null,
    lifetimeMs: 3_600_000,
  }
  const onError = (error: unknown): void => expect.unreachable(String(error))
  const games = 'games' as typeof chat
  const access = tokenAccess(games, settings, { clock, outbound: createOutbound({ clock }), onError })
  expect(await access.admit(asked({ token: await tokenFor('alice') }))).toMatchObject({
    ok: true,
    identity: 'alice',
  })
})
