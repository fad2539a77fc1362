import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { REPOSITORY } from './node.js'

// Shared by the tests of the documents: the list of documents, and the code in them.

/** A fenced block of code. */
export interface Block {
  /** Path from the root of the repository. */
  document: string
  /** The number of its first line, from 1. */
  line: number
  language: string
  /** A part of a program, which uses names from the text around it. Other blocks of JavaScript are whole programs. */
  isSnippet: boolean
  /** A program names its file in a comment on its first line. */
  file: string | undefined
  text: string
}

const SKIPPED = new Set(['node_modules', 'dist', '.git', '.work'])

/** Every file of the repository that is not built or installed, as a path from its root. */
export async function filesOf(directory = REPOSITORY): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const found: string[] = []
  for (const entry of entries) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) found.push(...(await filesOf(path)))
    } else found.push(relative(REPOSITORY, path))
  }
  return found.sort()
}

/** Every Markdown file of the repository, as a path from its root. */
export async function documents(): Promise<string[]> {
  return (await filesOf()).filter((file) => file.endsWith('.md'))
}

export function readDocument(document: string): string {
  return readFileSync(join(REPOSITORY, document), 'utf8')
}

const FENCE = /^( *)```(\w*)( snippet)?\n(.*?)^\1```$/gms

export function blocksOf(document: string): Block[] {
  const whole = readDocument(document)
  return Array.from(
    whole.matchAll(FENCE),
    ({ index, 1: indent = '', 2: language = '', 3: mark, 4: body = '' }) => {
      const text = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
      return {
        document,
        line: whole.slice(0, index).split('\n').length + 1,
        language,
        isSnippet: mark !== undefined,
        file: /^(?:\/\/|<!--) ([\w.-]+\.(?:mjs|html))(?: -->)?\n/.exec(text)?.[1],
        text,
      }
    },
  )
}

/** The program that this document calls `file`. */
export function programOf(document: string, file: string): string {
  const block = blocksOf(document).find((one) => one.file === file)
  if (block === undefined) throw new Error(`${document} has no program ${file}`)
  return block.text
}

/** The code within the lines of a document, without backticks. Blocks are left out. */
export function inlineCodeOf(document: string): string[] {
  const lines = readDocument(document).replaceAll(FENCE, '')
  return Array.from(lines.matchAll(/`([^`\n]+)`/g), ([, code = '']) => code)
}

/** The text of a document without its code: blocks become empty lines, and code within a line becomes `code`. */
export function proseOf(document: string): string {
  const blank = (code: string): string => code.replaceAll(/[^\n]/g, '')
  return readDocument(document)
    .replaceAll(FENCE, blank)
    .replaceAll(/`[^`\n]+`/g, '`code`')
}
