import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Download, Locator, Page } from 'playwright-core'
import { expect } from 'vitest'

// What tests of the page do with it, as a person would.

/** Two pages connect and verify each other, on a machine on which others run too. */
export const OPEN_MS = 60_000
export const MOVED_MS = 150_000

export const linkOf = (page: Page): Promise<string> => page.getByLabel('Link to this share').inputValue()

export const share = (page: Page, ...paths: string[]): Promise<void> =>
  page.locator('[data-pick=files]').first().setInputFiles(paths)

/** A file in the list of a transfer. */
export const row = (page: Page, name: string, state?: string): Locator =>
  page.locator(`[data-direction][data-file="${name}"]${state === undefined ? '' : `[data-state="${state}"]`}`)

export const accept = (guest: Page): Promise<void> =>
  guest.getByRole('button', { name: /^Get \d/ }).click({ timeout: OPEN_MS })

/** Chooses where the files go. */
export async function chooseWay(guest: Page, name: string): Promise<void> {
  await guest.getByRole('group', { name: 'Where the files go' }).waitFor({ timeout: OPEN_MS })
  const way = guest.getByRole('radio', { name })
  if ((await way.count()) === 0) await guest.getByText('Other places').click()
  await way.check()
}

/** Waits until bytes of the file have come. */
export async function begins(guest: Page, name: string): Promise<void> {
  await expect
    .poll(
      () =>
        row(guest, name)
          .locator('progress')
          .evaluate((bar: HTMLProgressElement) => bar.value),
      { timeout: OPEN_MS },
    )
    .toBeGreaterThan(0)
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

export async function save(guest: Page, name: string): Promise<Buffer> {
  const [download] = await Promise.all([
    guest.waitForEvent('download', { timeout: MOVED_MS }),
    guest.getByRole('link', { name: `Save ${name}` }).click({ timeout: MOVED_MS }),
  ])
  return contentOf(download)
}

export const contentOf = async (download: Download): Promise<Buffer> => readFile(await download.path())

/** Writes a file below a folder, and returns its path. */
export async function fileIn(directory: string, name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
  return path
}
