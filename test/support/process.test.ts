import { afterEach, expect, test, vi } from 'vitest'
import { childEnvironment, eventually, run, startChild, type Child } from './process.js'

function shell(script: string): Promise<Child> {
  return startChild({ command: 'sh', args: ['-c', script] })
}

afterEach(() => vi.unstubAllEnvs())

test('a child inherits no variable that changes its output or a node, and gets those that its test passes', async () => {
  const changing = ['CI', 'NO_COLOR', 'FORCE_COLOR', 'NODE_DISABLE_COLORS', 'NODE_OPTIONS']
  const settings = ['PEERAGE_PORT', 'PEERAGE_SEED']
  for (const name of [...changing, ...settings]) vi.stubEnv(name, '1')
  vi.stubEnv('PEERAGE_TEST_PARTS', 'binary')
  vi.stubEnv('NODE_OPTIONS', '--no-warnings')
  expect(Object.keys(childEnvironment())).toEqual(
    Object.keys(process.env).filter((name) => ![...changing, ...settings].includes(name)),
  )
  const child = await startChild({
    command: process.execPath,
    args: ['-e', 'console.log(1); console.log(`${process.env.CI} ${process.env.PEERAGE_TEST_PARTS}`)'],
    env: { CI: 'own' },
  })
  expect(await child.stopped).toMatchObject({ code: 0 })
  expect(child.lines).toEqual(['1', 'own binary'])
})

test('a line is found, whether it was printed before or after the call', async () => {
  const child = await shell('echo first >&2; sleep 0.05; echo "port 80"; exec sleep 60')
  const port = (line: string): number | undefined =>
    Number(/^port (\d+)/.exec(line)?.[1] ?? Number.NaN) || undefined
  expect(await child.line(port, 5_000)).toBe(80)
  expect(await child.line(port, 5_000)).toBe(80)
  // Standard output and standard error are two pipes: a paused process may find both full and read either first.
  await child.line((line) => (line === 'first' ? true : undefined), 5_000)
  expect([...child.lines].sort()).toEqual(['first', 'port 80'])
  await child.stop()
  expect(await child.stopped).toEqual({ code: null, signal: 'SIGKILL' })
})

test('a child that ends before the line fails with its output', async () => {
  const child = await shell('echo no such file; exit 3')
  await expect(child.line(() => undefined, 5_000)).rejects.toThrow(/ended \(code 3.*\n.*no such file/)
})

test('a child that prints nothing fails at the deadline', async () => {
  const child = await shell('exec sleep 60')
  await expect(child.line(() => undefined, 30)).rejects.toThrow('within 30 ms')
  await child.stop()
})

test('a child counts as stopped while its own child still holds its output', async () => {
  const child = await shell('sleep 60 & echo $!; wait')
  const grandchild = await child.line((line) => Number(line), 5_000)
  await child.stop()
  process.kill(grandchild, 'SIGKILL')
})

test('a program that does not exist is an error, not a crash', async () => {
  await expect(run('peerage-nowhere', [])).rejects.toThrow('peerage-nowhere')
})

test('eventually reports the last reason, and gives up when the process has ended', async () => {
  const probe = (): Promise<undefined> => Promise.reject(new Error('refused'))
  await expect(eventually('it answers', probe, { deadlineMs: 50 })).rejects.toThrow(/it answers.*refused/)
  const running = await shell('exit 4')
  await expect(eventually('it answers', probe, { deadlineMs: 60_000, running })).rejects.toThrow('code 4')
})
