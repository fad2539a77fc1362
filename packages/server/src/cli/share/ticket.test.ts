import { mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ticketFile } from './ticket.js'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'ticket-'))))
afterEach(() => rm(folder, { recursive: true }))

const open = (link = 'link', said: string[] = []) =>
  ticketFile(folder, link, (message) => void said.push(message))

test('a ticket is kept until everything has arrived, for its link alone, and for this user alone', async () => {
  await open().write('secret')
  const [name = ''] = await readdir(folder)
  expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
  expect(name).not.toContain('link')
  expect([await open().read(), await open('other').read()]).toEqual(['secret', undefined])
  await open().write('newer')
  expect(await open().read()).toBe('newer')
  await open().remove()
  expect(await readdir(folder)).toEqual([])
  await open().remove()
})

test('a symbolic link in its place is replaced, and not followed', async () => {
  await open().write('secret')
  const [name = ''] = await readdir(folder)
  await rm(join(folder, name))
  await writeFile(join(folder, 'precious'), 'precious')
  await symlink('precious', join(folder, name))
  await open().write('secret')
  expect((await stat(join(folder, 'precious'))).size).toBe(8)
})

test('a folder that cannot be written to is told', async () => {
  await writeFile(join(folder, 'file'), '')
  const said: string[] = []
  await ticketFile(join(folder, 'file'), 'link', (message) => void said.push(message)).write('secret')
  expect(said).toEqual([expect.stringMatching(/^A restart could not go on with this share: /)])
})
