import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { documents, proseOf, readDocument } from '@peerage/test-support/documents.js'
import { REPOSITORY } from '@peerage/test-support/node.js'

/** Pages that exist. A link to any other page is an error: nobody would notice that it leads nowhere. */
const KNOWN = [
  'https://datatracker.ietf.org/doc/html/rfc',
  'https://www.rfc-editor.org/rfc/rfc',
  'https://github.com/yjs/y-webrtc',
  'https://github.com/dmotz/trystero',
  'https://webtorrent.io',
  'https://github.com/paullouisageneau/libdatachannel/pull/1630',
  'https://docs.github.com/',
  'https://nodejs.org/',
  'https://keepachangelog.com/',
  'https://semver.org/',
]

interface Link {
  document: string
  target: string
}

/** Targets of links and images, in Markdown and in HTML, and addresses that stand in the text. */
function linksOf(document: string): Link[] {
  const prose = proseOf(document)
  const forms = [/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g, /^\[[^\]]+\]: (\S+)/gm, /(?:src|href)="([^"]+)"/g]
  const inForms = forms.flatMap((form) => Array.from(prose.matchAll(form), ([, target = '']) => target))
  const bare = Array.from(prose.matchAll(/(?<![("\w])https?:\/\/[^\s)>"’”]+/g), ([url]) =>
    url.replace(/[.,:;]$/, ''),
  )
  return [...inForms, ...bare].map((target) => ({ document, target }))
}

/** As GitHub makes an anchor of a heading. */
function anchorsOf(document: string): Set<string> {
  const text = readDocument(document).replaceAll(/^( *)```.*?^\1```$/gms, '')
  const anchors = new Set(Array.from(text.matchAll(/<a (?:id|name)="([^"]+)"/g), ([, id = '']) => id))
  for (const [, heading = ''] of text.matchAll(/^#{1,6} +(.*?) *#*$/gm)) {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
      .replaceAll(' ', '-')
    let unique = anchor
    for (let n = 1; anchors.has(unique); n++) unique = `${anchor}-${n}`
    anchors.add(unique)
  }
  return anchors
}

function problemOf({ document, target }: Link): string | undefined {
  // Examples: this machine, and names that nobody has (RFC 2606).
  if (/^https?:\/\/(?:127\.0\.0\.1|localhost|\[::1\]|host\b|(?:[\w-]+\.)*example\b)/.test(target))
    return undefined
  if (/^[a-z]+:/.test(target))
    return target.startsWith('mailto:') || KNOWN.some((known) => target.startsWith(known))
      ? undefined
      : 'is not among the pages that are known to exist'
  const [path = '', anchor] = decodeURIComponent(target).split('#')
  const file = path === '' ? document : join(dirname(document), path)
  if (file.startsWith('..') || !existsSync(join(REPOSITORY, file))) return 'does not exist'
  if (anchor === undefined) return undefined
  if (statSync(join(REPOSITORY, file)).isDirectory() || !file.endsWith('.md')) return 'has no headings'
  return anchorsOf(file).has(anchor) ? undefined : 'has no such heading'
}

test('every link of every document leads somewhere', async () => {
  const links = (await documents()).flatMap(linksOf)
  expect(links.length).toBeGreaterThan(50)
  const broken = links.flatMap((link) => {
    const problem = problemOf(link)
    return problem === undefined ? [] : [`${link.document}: ${link.target} ${problem}`]
  })
  expect(broken).toEqual([])
})

test('the check sees a link that leads nowhere', () => {
  const problem = (target: string): string | undefined => problemOf({ document: 'docs/sdk.md', target })
  expect(problem('no-such-document.md')).toBe('does not exist')
  expect(problem('#no-such-heading')).toBe('has no such heading')
  expect(problem('../README.md#no-such-heading')).toBe('has no such heading')
  expect(problem('https://github.com/peerage/peerage')).toBe('is not among the pages that are known to exist')
  expect(problem('#how-a-send-fails')).toBeUndefined()
})

test('the README is short', () => {
  expect(readDocument('README.md').split('\n').length).toBeLessThan(200)
})

test('every document in docs is named in the README', async () => {
  const readme = readDocument('README.md')
  const inDocs = (await documents()).filter((document) => document.startsWith('docs/'))
  expect(inDocs.filter((document) => !readme.includes(`](${document}`))).toEqual([])
})
