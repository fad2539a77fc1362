import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Engine } from './engine.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BUILD_DEADLINE_MS = 600_000
const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string }

/** The name that docker-compose.yml and k8s/ give to our image. */
export const IMAGE = `peerage:${version}`

/**
 * Notes which image has our image's name. The result gives that image its name again. In an engine that others use, theirs
 * may be the one that they run.
 */
export async function keepImage(engine: Engine): Promise<() => Promise<void>> {
  const before = await engine.docker(['image', 'ls', '--quiet', '--no-trunc', IMAGE])
  return async () =>
    void (await engine.docker(before === '' ? ['image', 'rm', IMAGE] : ['tag', before, IMAGE]))
}

/** Builds our image from our Dockerfile. npm's registry is reached over this machine's network. */
export async function buildImage(engine: Engine): Promise<void> {
  const startedAt = performance.now()
  await engine.docker(['build', '--quiet', '--network=host', '--tag', IMAGE, '.'], {
    cwd: ROOT,
    deadlineMs: BUILD_DEADLINE_MS,
  })
  const size = Number(await engine.docker(['image', 'inspect', IMAGE, '--format', '{{.Size}}']))
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  process.stderr.write(`${IMAGE}: built in ${seconds} s, ${(size / 1e6).toFixed(0)} MB\n`)
}
