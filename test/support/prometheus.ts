import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { findTool, type Tool } from './binary.js'
import { fixtureOf, makeDirectory, startServer, type Fixture, type ServerProgram } from './fixture.js'
import { freePort } from './ports.js'
import { run } from './process.js'

const PROMETHEUS: ServerProgram = {
  name: 'prometheus',
  binaries: ['prometheus'],
  debianPackage: 'prometheus',
  version: { args: ['--version'], pattern: /version (\d[\d.]*)/ },
  image: 'prom/prometheus',
  tag: 'v3.5.0',
}
const PROMTOOL: Tool = { name: 'promtool', binaries: ['promtool'], debianPackage: 'prometheus' }

export interface Prometheus extends Fixture {
  /** The values of an instant query, by their labels. */
  query(expression: string): Promise<{ labels: Record<string, string>; value: number }[]>
  /** Names and states of the loaded alert rules. */
  alerts(): Promise<{ name: string; health: string; state: string }[]>
}

const START_DEADLINE_MS = 20_000
const answerSchema = z.object({
  data: z.object({
    result: z.array(
      z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) }),
    ),
  }),
})
const rulesSchema = z.object({
  data: z.object({
    groups: z.array(
      z.object({ rules: z.array(z.object({ name: z.string(), health: z.string(), state: z.string() })) }),
    ),
  }),
})

/** Runs `promtool check …` and rejects with its output. */
export async function promtool(...args: readonly string[]): Promise<string> {
  const { path } = await findTool(PROMTOOL)
  return run(path, args)
}

/** Starts Prometheus on 127.0.0.1, which scrapes these admin ports every second as job `peerage`. */
export async function startPrometheus(
  targets: readonly string[],
  ruleFiles: readonly string[],
): Promise<Prometheus> {
  const directory = await makeDirectory('prometheus')
  const port = await freePort()
  // JSON is YAML.
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ruleFiles,
    scrape_configs: [{ job_name: 'peerage', static_configs: [{ targets }] }],
  }
  const configFile = join(directory, 'prometheus.yml')
  await writeFile(configFile, JSON.stringify(config))
  const url = `http://127.0.0.1:${port}`
  const running = await startServer(PROMETHEUS, {
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    directory,
    ready: {
      what: 'prometheus is ready',
      probe: async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined),
      deadlineMs: START_DEADLINE_MS,
    },
  })
  const ask = async (path: string): Promise<unknown> => (await fetch(`${url}/api/v1/${path}`)).json()
  return {
    query: async (expression) => {
      const answer = answerSchema.parse(
        await ask(`query?${new URLSearchParams({ query: expression }).toString()}`),
      )
      return answer.data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
    alerts: async () => rulesSchema.parse(await ask('rules')).data.groups.flatMap(({ rules }) => rules),
    ...fixtureOf(running, directory),
  }
}
