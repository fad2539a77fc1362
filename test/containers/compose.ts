import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import type { Engine } from './engine.js'
import { keepImage } from './image-build.js'

/** What this machine and its engine have, as far as docker-compose.yml needs it. */
export interface Machine {
  /** The descriptors that a container may have at most. */
  descriptors: number
  /** Whether the engine has Grafana's image, or a registry gives it. */
  hasGrafana: boolean
}

/** A change that the tests make to docker-compose.yml, because it cannot run here as it is. */
export interface Difference {
  what: string
  why: string
  isNeeded: (machine: Machine) => boolean
  /** The values of `docker compose config` that it may change, as paths with dots. */
  changes: RegExp
  make: (file: ComposeFile, machine: Machine) => void
}

const limits = z.object({ nofile: z.object({ soft: z.number(), hard: z.number() }) })
const composeFile = z.looseObject({
  name: z.string(),
  services: z.record(z.string(), z.looseObject({ image: z.string(), ulimits: limits.optional() })),
})
type ComposeFile = z.output<typeof composeFile>

const PROJECT = 'peerage-test-compose'

/**
 * All differences between docker-compose.yml and the copy that runs. The images keep their names: stand-ins.ts says which
 * of them are others than those of the registries.
 */
export const DIFFERENCES: readonly Difference[] = [
  {
    what: 'the name of the project',
    why: 'a cluster that somebody runs on this machine must stay as it is',
    isNeeded: () => true,
    changes: /^(?:name|(?:networks|volumes|secrets)\.\w+\.name)$/,
    make: (file) => {
      file.name = PROJECT
    },
  },
  {
    what: 'fewer descriptors for HAProxy and the nodes',
    why: "the limit of this machine's containers is below those of the file",
    isNeeded: ({ descriptors }) => descriptors < MOST_DESCRIPTORS,
    changes: /^services\.\w+\.ulimits\.nofile\.(?:soft|hard)$/,
    make: ({ services }, { descriptors }) => {
      for (const { ulimits } of Object.values(services)) {
        if (ulimits === undefined) continue
        ulimits.nofile.soft = Math.min(ulimits.nofile.soft, descriptors)
        ulimits.nofile.hard = Math.min(ulimits.nofile.hard, descriptors)
      }
    },
  },
  {
    what: 'no Grafana',
    why: 'its image is in no package of Debian, and no registry gives it',
    isNeeded: ({ hasGrafana }) => !hasGrafana,
    changes: /^(?:services\.grafana|secrets\.grafana_password)\./,
    make: ({ services }) => {
      delete services['grafana']
    },
  },
]

/** The highest limit in the file, that of HAProxy. */
const MOST_DESCRIPTORS = 200_000
const COMPOSE_IMAGE = 'peerage-test/compose:2'
const ORIGINAL = 'docker-compose.yml'
const COPY = 'copy.yml'
/** What the file mounts, and what the Dockerfile copies. */
const FILES = [
  ORIGINAL,
  'Dockerfile',
  '.dockerignore',
  'LICENSE',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.base.json',
  'deploy',
  'packages',
  'scripts',
]
const COMPOSE_DEADLINE_MS = 300_000

const execute = promisify(execFile)

const stateSchema = z.object({
  Running: z.boolean(),
  Pid: z.number(),
  ExitCode: z.number(),
  StartedAt: z.string(),
  Health: z.object({ Status: z.string() }).optional(),
})
const inspection = z.object({
  State: stateSchema,
  Mounts: z.array(z.object({ Source: z.string(), Destination: z.string(), RW: z.boolean() })),
  HostConfig: z.object({
    ReadonlyRootfs: z.boolean(),
    CapDrop: z.array(z.string()).nullable(),
    SecurityOpt: z.array(z.string()).nullable(),
  }),
  NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ IPAddress: z.string() })) }),
})

/** A folder with our compose file, the copy of it that runs here, and all that they name, as after a checkout. */
export interface ComposeProject {
  readonly name: string
  readonly folder: string
  readonly machine: Machine
  /** Runs Compose on the copy, and resolves with both outputs. */
  compose(...args: readonly string[]): Promise<string>
  /** The paths whose values `docker compose config` shows otherwise for the copy. */
  differences(): Promise<string[]>
  /** The names of the services of the copy. */
  services(): Promise<string[]>
  /** The name of a service's container. */
  container(service: string): string
  inspect(service: string): Promise<z.output<typeof inspection>>
  /** The address of a service in one of the file's networks, which this machine reaches, too. */
  address(service: string, network: 'front' | 'back'): Promise<string>
  /** Makes the secrets with the command that the file's first lines give. */
  makeSecrets(): Promise<void>
  /** Ends what runs, and removes everything with its folder. */
  remove(): Promise<void>
}

/** Writes the folder. Nothing is started. */
export async function makeProject(engine: Engine): Promise<ComposeProject> {
  const folder = await makeDirectory('compose')
  await copyFiles(folder)
  // Compose builds it once more, with the project's labels, which containers of other tests would inherit.
  const restoreImage = await keepImage(engine)
  const machine = { descriptors: await mostDescriptors(engine), hasGrafana: await hasGrafana(engine) }
  const file = composeFile.parse(parse(await readFile(join(folder, ORIGINAL), 'utf8'), { merge: true }))
  for (const { isNeeded, make } of DIFFERENCES) if (isNeeded(machine)) make(file, machine)
  await writeFile(join(folder, COPY), stringify(file))
  const run = (name: string, args: readonly string[], output: 'docker' | 'output'): Promise<string> =>
    engine[output](['run', '--rm', ...mounts(engine, folder), COMPOSE_IMAGE, '--file', name, ...args], {
      deadlineMs: COMPOSE_DEADLINE_MS,
    })
  const config = async (name: string): Promise<Map<string, string>> =>
    leavesOf(JSON.parse(await run(name, ['config', '--format', 'json'], 'docker')))
  const container = (service: string): string => `${PROJECT}-${service}-1`
  const inspect = async (service: string): Promise<z.output<typeof inspection>> =>
    inspection.parse(
      JSON.parse(await engine.docker(['inspect', '--format', '{{json .}}', container(service)])),
    )
  const compose = (...args: readonly string[]): Promise<string> => run(COPY, args, 'output')
  return {
    name: PROJECT,
    folder,
    machine,
    compose,
    container,
    inspect,
    differences: async () => unequal(await config(ORIGINAL), await config(COPY)),
    services: () => Promise.resolve(Object.keys(file.services)),
    address: async (service, network) => {
      const { Networks } = (await inspect(service)).NetworkSettings
      return Networks[`${PROJECT}_${network}`]?.IPAddress ?? ''
    },
    makeSecrets: async () => {
      const head = await readFile(join(folder, ORIGINAL), 'utf8')
      const command = /^# +(mkdir .* secrets .*)$/m.exec(head)?.[1]
      if (command === undefined) throw new Error('docker-compose.yml does not say how to make the secrets')
      await execute('sh', ['-c', command], { cwd: folder })
    },
    remove: async () => {
      await compose('down', '--volumes', '--timeout', '1')
      await restoreImage()
      await removeDirectory(folder)
    },
  }
}

/** Compose runs in a container: the paths in it must be those of this machine, because the engine mounts them. */
function mounts({ host }: Engine, folder: string): string[] {
  const inside = ['--volume', `${folder}:${folder}`, '--workdir', folder]
  if (!host.startsWith('unix://')) return [...inside, '--network', 'host', '--env', `DOCKER_HOST=${host}`]
  return [...inside, '--volume', `${host.slice('unix://'.length)}:/var/run/docker.sock`]
}

/** The files that git knows, as they are now. */
async function copyFiles(folder: string): Promise<void> {
  const { stdout } = await execute('git', ['ls-files', '--', ...FILES], {
    cwd: REPOSITORY,
    maxBuffer: 1 << 26,
  })
  await mkdir(folder, { recursive: true })
  const list = join(folder, 'files')
  await writeFile(list, stdout)
  const copy = 'tar --create --files-from "$1/files" | tar --extract --directory "$1"'
  await execute('sh', ['-c', copy, 'sh', folder], { cwd: REPOSITORY })
}

async function mostDescriptors(engine: Engine): Promise<number> {
  const most = (args: readonly string[]): Promise<string> =>
    engine.docker(['run', '--rm', ...args, '--entrypoint', 'sh', COMPOSE_IMAGE, '-c', 'ulimit -Hn'])
  const wanted = String(MOST_DESCRIPTORS)
  return Number(await most(['--ulimit', `nofile=${wanted}:${wanted}`]).catch(() => most([])))
}

async function hasGrafana(engine: Engine): Promise<boolean> {
  const file = composeFile.parse(parse(await readFile(join(REPOSITORY, ORIGINAL), 'utf8'), { merge: true }))
  const image = file.services['grafana']?.image
  if (image === undefined) throw new Error('docker-compose.yml has no Grafana')
  const has = (...args: string[]): Promise<boolean> =>
    engine.docker([...args, image]).then(
      () => true,
      () => false,
    )
  return (await has('image', 'inspect')) || (await has('pull', '--quiet'))
}

function leavesOf(value: unknown, path = '', leaves = new Map<string, string>()): Map<string, string> {
  if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
    for (const [key, inner] of Object.entries(value))
      leavesOf(inner, path === '' ? key : `${path}.${key}`, leaves)
  else leaves.set(path, JSON.stringify(value))
  return leaves
}

function unequal(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): string[] {
  const paths = new Set([...one.keys(), ...other.keys()])
  return [...paths].filter((path) => one.get(path) !== other.get(path))
}
