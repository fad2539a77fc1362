import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findTool, type Tool } from './binary.js'
import { makeDirectory, removeDirectory } from './fixture.js'
import { freePort } from './ports.js'
import { run, startChild, type Child, type ChildOptions } from './process.js'

const TOOLS: readonly Tool[] = [
  { name: 'unshare', binaries: ['unshare'], debianPackage: 'util-linux' },
  { name: 'nsenter', binaries: ['nsenter'], debianPackage: 'util-linux' },
  { name: 'ip', binaries: ['ip'], debianPackage: 'iproute2' },
  { name: 'nftables', binaries: ['nft'], debianPackage: 'nftables' },
]
const RELAY = fileURLToPath(new URL('./relay.mjs', import.meta.url))
const RELAY_DEADLINE_MS = 10_000

/** Whether this process may make network namespaces with NAT, or why it may not. */
export async function canUseNamespaces(): Promise<{ ok: true } | { ok: false; reason: string }> {
  if (process.platform !== 'linux') return { ok: false, reason: 'network namespaces exist on Linux only' }
  if (process.getuid?.() !== 0) {
    return { ok: false, reason: 'only root may make network namespaces (run: sudo npm run test:nat)' }
  }
  try {
    for (const tool of TOOLS) await findTool(tool)
    await run('unshare', ['-n', 'sh', '-ec', `${SET_UP}\nnft add table ip probe`])
    return { ok: true }
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

// IPv6 would add link-local candidates that say nothing about the NAT under test.
const SET_UP = `
for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e "$file" ] || echo 1 > "$file"; done
ip link set lo up`

/** A separate network. It exists as long as a process holds it, so it disappears even if we are killed. */
export interface Namespace {
  readonly name: string
  /** Identifies the namespace in `ip link … netns PID`. */
  readonly pid: number
  /** The start of a command line that runs a program inside, for `startNode({ through })`. */
  readonly through: readonly string[]
  /** Starts a program inside. It ends when the namespace is stopped. */
  start(options: ChildOptions): Promise<Child>
  /** Runs a program inside to its end, and returns its output. */
  run(command: string, args: readonly string[], deadlineMs?: number): Promise<string>
  /** Runs a shell script inside. It fails at the first command that fails. */
  script(text: string): Promise<string>
  /** A program that starts `binary` inside, for `launchChromium({ executablePath })`. */
  launcher(binary: string): Promise<string>
  /** Listens on one address inside and forwards to another address inside, both `host:port`. */
  listen(from: string, to: string): Promise<void>
  /** Makes 127.0.0.1:`port` of this machine's network reachable inside, at the same address. */
  expose(port: number): Promise<void>
  /** Makes a TCP address of this namespace reachable from this machine. Resolves with a port on 127.0.0.1. */
  reach(host: string, port: number): Promise<number>
  stop(): Promise<void>
}

/** Makes a network namespace that has only loopback. */
export async function makeNamespace(name: string): Promise<Namespace> {
  const directory = await makeDirectory(`netns-${name}`)
  // The process is in our own namespace until unshare is done, which its output line shows.
  const holder = await startChild({
    command: 'unshare',
    args: ['-n', 'sh', '-ec', `${SET_UP}\necho ready\nexec sleep infinity`],
  })
  await holder.line((line) => (line === 'ready' ? true : undefined), RELAY_DEADLINE_MS)
  const through = ['nsenter', '-t', String(holder.pid), '-n', '--']
  const children: Child[] = []
  const started = async (options: ChildOptions): Promise<Child> => {
    const child = await startChild(options)
    children.push(child)
    return child
  }
  const inside = (options: ChildOptions): ChildOptions => {
    return { ...options, command: 'nsenter', args: [...through.slice(1), options.command, ...options.args] }
  }
  const relay = async (
    wrap: (options: ChildOptions) => ChildOptions,
    from: string,
    to: string,
  ): Promise<void> => {
    const child = await started(wrap({ command: process.execPath, args: [RELAY, from, to] }))
    await child.line((line) => (line === 'listening' ? true : undefined), RELAY_DEADLINE_MS)
  }
  const socketPath = (label: string): string => join(directory, `${label}.sock`)
  const here = (options: ChildOptions): ChildOptions => options

  return {
    name,
    pid: holder.pid,
    through,
    start: (options) => started(inside(options)),
    run: (command, args, deadlineMs) => run('nsenter', [...through.slice(1), command, ...args], deadlineMs),
    script: (text) => run('nsenter', [...through.slice(1), 'sh', '-ec', text]),
    launcher: async (binary) => {
      const file = join(directory, 'launcher')
      await writeFile(file, `#!/bin/sh\nexec ${through.join(' ')} '${binary}' "$@"\n`)
      await chmod(file, 0o755)
      return file
    },
    listen: (from, to) => relay(inside, from, to),
    expose: async (port) => {
      const path = socketPath(`expose-${port}`)
      await relay(here, path, `127.0.0.1:${port}`)
      await relay(inside, `127.0.0.1:${port}`, path)
    },
    reach: async (host, port) => {
      const path = socketPath(`reach-${host}-${port}`)
      const near = await freePort()
      await relay(inside, path, `${host}:${port}`)
      await relay(here, `127.0.0.1:${near}`, path)
      return near
    },
    stop: async () => {
      await Promise.all(children.map((child) => child.stop()))
      await holder.stop()
      await removeDirectory(directory)
    },
  }
}
