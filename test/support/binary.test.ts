import { expect, test } from 'vitest'
import { findBinary, findTool, locate } from './binary.js'

test('an installed program is found with its version, also in directories that PATH does not list', async () => {
  expect(locate('sh')).toMatch(/\/sh$/)
  const node = { name: 'node', binaries: ['node'], debianPackage: 'nodejs' }
  expect(await findBinary({ ...node, version: { args: ['--version'], pattern: /v(\S+)/ } })).toEqual({
    path: locate('node'),
    version: process.versions.node,
    how: 'system binary',
  })
})

test('a missing program is named in the error, with how to install it', async () => {
  const getuid = process.getuid
  process.getuid = () => 1000
  try {
    const tool = { name: 'redis', binaries: ['redis-nowhere'], debianPackage: 'redis-server', image: 'redis' }
    const having = { what: 'its library', check: () => false }
    await expect(findTool({ ...tool, binaries: ['sh'], having })).rejects.toThrow(
      /^redis is missing: there is no sh with its library on this machine, and .*sudo apt-get install redis-server/,
    )
    await expect(findTool(tool)).rejects.toThrow(
      /^redis is missing: there is no redis-nowhere on this machine, and .*apt-get.*sudo apt-get install redis-server.*Docker engine/,
    )
  } finally {
    if (getuid !== undefined) process.getuid = getuid
  }
})
