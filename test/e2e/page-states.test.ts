import { createServer, type Server, type ServerResponse } from 'node:http'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchChromium, listen, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { PAGE_CSP } from '@peerage/test-support/testing/server.js'

// Shows every state of the page by fakes, which are not part of the page that a node serves. With PEERAGE_SHOTS set to
// a folder, it also takes a picture of each state in both themes, both languages and two widths, for people to look at.

const SHARE = fileURLToPath(new URL('../../packages/share/', import.meta.url))
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const SHOTS = process.env['PEERAGE_SHOTS']
const ONLY = process.env['PEERAGE_SHOTS_ONLY']
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
}
const WIDTHS = [320, 1100] as const
const THEMES = ['light', 'dark'] as const
const LANGUAGES = ['en', 'zh-CN'] as const

let directory: string
let server: Server
let base: string
let chromium: ChromiumBrowser
let states: string[]

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'peerage-demo-'))
  await build({
    root: SHARE,
    configFile: join(SHARE, 'vite.config.ts'),
    logLevel: 'warn',
    build: { outDir: directory, rolldownOptions: { input: join(SHARE, 'src/demo/index.html') } },
  })
  server = createServer((request, response) => void serve(request.url ?? '/', response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/src/demo/index.html`
  chromium = await launchChromium()
  const page = await chromium.page(base)
  states = await page
    .waitForFunction(() => document.documentElement.dataset['states'])
    .then(async (found) => String(await found.jsonValue()).split(' '))
  await page.context().close()
  if (ONLY !== undefined) states = states.filter((state) => state.startsWith(ONLY))
})

afterAll(async () => {
  await chromium?.stop()
  server?.closeAllConnections()
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
})

async function serve(url: string, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(url, 'http://demo.example')
  try {
    const content = await readFile(join(directory, pathname))
    response.writeHead(200, {
      'Content-Type': TYPES[extname(pathname)] ?? 'application/octet-stream',
      'Content-Security-Policy': PAGE_CSP,
    })
    response.end(content)
  } catch {
    // A file that is not there, such as the icon.
    response.writeHead(404).end()
  }
}

/** Opens a state, and waits until it is drawn. */
async function show(page: Page, state: string): Promise<void> {
  await page.goto(`${base}?state=${state}`)
  await page.locator('main > *').first().waitFor()
  if (state === 'guest-code-typing') await page.locator('[name=code]').fill('17-cr')
  if (state === 'guest-code-bad') {
    await page.locator('[name=code]').fill('17-crane')
    await page.locator('[type=submit]').click()
  }
  await page.evaluate(() => document.fonts.ready)
  // Parts that are loaded at once, such as the QR code, are drawn by then.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
}

/** How far the content is wider than the window, and what sticks out. */
const overflow = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const width = document.documentElement.clientWidth
    if (document.documentElement.scrollWidth <= width) return []
    return [...document.querySelectorAll('body *')]
      .filter((one) => one.getBoundingClientRect().right > width + 0.5)
      .map((one) => `${one.tagName}.${one.getAttribute('class') ?? ''}`)
      .slice(0, 5)
  })

/** The controls that are smaller than a finger needs, links within a text excepted. */
const smallTargets = (page: Page): Promise<string[]> =>
  page.evaluate(() =>
    [
      ...document.querySelectorAll(
        'button, summary, select, .button, .pick, label.check, input[type=text], textarea',
      ),
    ]
      .filter((one) => one.checkVisibility())
      .filter((one) => {
        const { width, height } = one.getBoundingClientRect()
        return width > 1 && (height < 43.5 || width < 43.5)
      })
      .map((one) => one.outerHTML.slice(0, 120)),
  )

interface Violation {
  id: string
  nodes: { html: string; failureSummary?: string }[]
}

async function violations(page: Page): Promise<string[]> {
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }
    return (await axe.run()).violations
  })
  return found.map(
    ({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)} ${nodes[0]?.failureSummary ?? ''}`,
  )
}

/** Both themes and widths in English. In Chinese, the words are shorter or longer, and the colours are the same. */
const cases: { theme: (typeof THEMES)[number]; language: string; widths: readonly number[] }[] =
  SHOTS === undefined
    ? [
        ...THEMES.map((theme) => ({ theme, language: 'en', widths: WIDTHS })),
        { theme: 'light', language: 'zh-CN', widths: [320] },
      ]
    : THEMES.flatMap((theme) => LANGUAGES.map((language) => ({ theme, language, widths: WIDTHS })))

describe('each state of the page', () => {
  test.each(cases)(
    'in $theme and $language has no axe-core violation, no sideways scrolling and no small target',
    async ({ theme, language, widths }) => {
      const context = await chromium.browser.newContext({
        colorScheme: theme,
        locale: language,
        bypassCSP: false,
      })
      await context.addInitScript({ path: AXE })
      const page = await context.newPage()
      const said = listen(page)
      const wrong: string[] = []
      for (const state of states)
        for (const width of widths) {
          await page.setViewportSize({ width, height: 800 })
          await show(page, state)
          const where = `${state} at ${width}`
          for (const one of await overflow(page)) wrong.push(`${where}: too wide: ${one}`)
          for (const one of await smallTargets(page)) wrong.push(`${where}: too small: ${one}`)
          for (const one of await violations(page)) wrong.push(`${where}: ${one}`)
          if (SHOTS !== undefined) {
            await mkdir(SHOTS, { recursive: true })
            const path = join(SHOTS, `${state}.${theme}.${language}.${width}.png`)
            await page.screenshot({ path, fullPage: true })
          }
        }
      await context.close()
      expect(wrong).toEqual([])
      expect(said.filter((line) => /Content Security Policy|^thrown/.test(line))).toEqual([])
    },
    600_000,
  )
})
