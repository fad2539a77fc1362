import { expect, test } from 'vitest'
import { pickedFrom } from './picked.js'

const fileAt = (path: string): File =>
  Object.assign(new File([], path.slice(path.lastIndexOf('/') + 1)), {
    webkitRelativePath: path.includes('/') ? path : '',
  })

test('the files of a folder are in the order of their names, and numbers count', () => {
  const paths = ['photos/p10.jpg', 'photos/p2.jpg', 'photos/a/z.jpg', 'photos/p1.jpg']
  expect(pickedFrom(paths.map(fileAt)).map(({ path }) => path)).toEqual([
    'photos/a/z.jpg',
    'photos/p1.jpg',
    'photos/p2.jpg',
    'photos/p10.jpg',
  ])
})

test('files that were picked one by one stay in the order of the person', () => {
  expect(pickedFrom(['b', 'a'].map(fileAt)).map(({ path }) => path)).toEqual(['b', 'a'])
})
