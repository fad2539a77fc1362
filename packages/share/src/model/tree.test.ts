import { describe, expect, test } from 'vitest'
import { kindOf, shownName } from './kinds.js'
import { treeOf, visibleLines } from './tree.js'

const leaves = (...paths: string[]) => paths.map((path) => ({ key: path, path, size: 10 }))

describe('the tree of offered files', () => {
  test('folders hold their files and sums', () => {
    const [folder, file] = treeOf(leaves('a/b/1', 'top', 'a/2'))
    expect(folder).toMatchObject({ kind: 'folder', name: 'a', path: 'a/', bytes: 20 })
    expect(file).toMatchObject({ kind: 'file', name: 'top' })
  })

  test('closed folders take one line, and what is cut off is counted', () => {
    const tree = treeOf(leaves(...Array.from({ length: 5_000 }, (_, i) => `${i < 4_990 ? 'big/' : ''}${i}`)))
    expect(visibleLines(tree, () => false, 100)).toMatchObject({ filesLeft: 0 })
    const open = visibleLines(tree, () => true, 100)
    expect(open.lines).toHaveLength(100)
    expect(open.filesLeft).toBe(5_000 - 99)
  })

  test('a path of a thousand folders makes a tree of bounded depth', () => {
    const tree = treeOf(leaves(`${'x/'.repeat(1_000)}file`))
    expect(visibleLines(tree, () => true, 1_000).lines.length).toBeLessThan(20)
  })
})

test.each([
  ['photo.JPG', '', 'picture'],
  ['setup.exe', 'image/png', 'program'],
  ['noending', 'video/mp4', 'video'],
  ['constructor.constructor', '', 'other'],
])('%s of type "%s" is a %s', (path, type, kind) => {
  expect(kindOf(path, type)).toBe(kind)
})

test('names show what they hide', () => {
  expect(shownName('photo\u202Egnp.exe\n')).toBe('photo\ufffdgnp.exe\ufffd')
  expect(shownName('👨‍👩‍👧 família.txt')).toBe('👨‍👩‍👧 família.txt')
})
