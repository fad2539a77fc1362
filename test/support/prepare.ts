import { CHROMIUM } from './chromium.js'
import { dockerAnswers } from './container.js'
import { COTURN } from './coturn.js'
import { findTool } from './binary.js'
import { FIREFOX } from './firefox.js'
import { HAPROXY } from './haproxy.js'
import { BUILT, ensureBuilt } from './node.js'
import { REDIS } from './redis.js'

/** Runs once before the first of a run's test files. Their processes inherit our environment. */
export default async function prepare(): Promise<void> {
  await ensureBuilt()
  process.env[BUILT] = '1'
  if (process.env['PEERAGE_TEST_WHOLE'] !== undefined) await installPrograms()
}

/**
 * Installs the large programs that are missing, one after another. Test files that run in parallel would wait for each
 * other's apt-get longer than a test may take. If an installation fails, the tests that need the program say so.
 */
async function installPrograms(): Promise<void> {
  const inContainers = await dockerAnswers()
  const programs = [...(inContainers ? [] : [REDIS, HAPROXY, COTURN]), CHROMIUM, FIREFOX]
  for (const program of programs) await findTool(program).catch(() => undefined)
}
