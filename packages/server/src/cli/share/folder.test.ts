import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkFolder } from './folder.js'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'to-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a folder may be there, or be made later', async () => {
  mkdirSync(join(folder, 'there'))
  for (const path of ['there', 'new', 'there/new/deep']) await checkFolder(join(folder, path))
})

test('a file is no folder, nor is anything below it', async () => {
  writeFileSync(join(folder, 'file'), '')
  for (const path of ['file', 'file/x', 'file/x/y'])
    await expect(checkFolder(join(folder, path))).rejects.toThrow(
      `--to: ${join(folder, 'file')} is no folder: name one, or - for standard output`,
    )
  await expect(checkFolder('')).rejects.toThrow('--to is empty')
})
