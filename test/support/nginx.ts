import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fixtureOf, makeDirectory, startServer, type Fixture, type ServerProgram } from './fixture.js'
import { freePort } from './ports.js'

const NGINX: ServerProgram = {
  name: 'nginx',
  binaries: ['nginx'],
  debianPackage: 'nginx-light',
  version: { args: ['-v'], pattern: /nginx\/(\d[\d.]*)/ },
  image: 'nginx',
  tag: '1.28',
}

export interface Nginx extends Fixture {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
}

const SHIPPED_CONFIG = fileURLToPath(new URL('../../deploy/nginx.conf', import.meta.url))
const START_DEADLINE_MS = 10_000

/** Starts nginx on 127.0.0.1 with the shipped `deploy/nginx.conf`, except for its nodes, its port and its paths. */
export async function startNginx(backends: readonly { host: string; port: number }[]): Promise<Nginx> {
  const directory = await makeDirectory('nginx')
  const port = await freePort()
  const configFile = join(directory, 'nginx.conf')
  await writeFile(configFile, adapt(await readFile(SHIPPED_CONFIG, 'utf8'), { backends, port, directory }))
  // A single process, because workers would outlive a master that is killed.
  const running = await startServer(NGINX, {
    args: ['-c', configFile, '-p', directory, '-e', 'stderr', '-g', 'daemon off; master_process off;'],
    directory,
    ready: {
      what: 'nginx listens',
      probe: () => fetch(`http://127.0.0.1:${port}/`),
      deadlineMs: START_DEADLINE_MS,
    },
  })
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    ...fixtureOf(running, directory),
  }
}

function adapt(
  shipped: string,
  to: { backends: readonly { host: string; port: number }[]; port: number; directory: string },
): string {
  const replace = (text: string, from: RegExp, by: string): string => {
    if (!from.test(text)) throw new Error(`deploy/nginx.conf has no text that matches ${String(from)}`)
    return text.replace(from, by)
  }
  const rest = /server node1:9000 (.*);/.exec(shipped)?.[1] ?? ''
  const servers = to.backends.map(({ host, port }) => `server ${host}:${port} ${rest};`).join('\n        ')
  let text = replace(shipped, /(?:server node\d:9000 .*;\s*)+/, `${servers}\n        `)
  text = replace(text, /listen 8080 /, `listen 127.0.0.1:${to.port} `)
  return replace(text, /\/tmp\/nginx(?=[.-])/g, `${to.directory}/nginx`)
}
