import { expect, test } from 'vitest'
import { findBinary, findTool, locate } from './binary.js'

test('what is installed is found, also where PATH does not look, with its version', async () => {
  expect(locate('sh')).toMatch(/\/sh$/)
  const node = { part: 'node', binaries: ['node'], debianPackage: 'nodejs' }
  expect(await findBinary({ ...node, version: { args: ['--version'], pattern: /v(\S+)/ } })).toEqual({
    path: locate('node'),
    version: process.versions.node,
    how: 'system binary',
  })
})

test('what cannot be had is named, with the way to install it', async () => {
  const getuid = process.getuid
  process.getuid = () => 1000
  try {
    const tool = { part: 'redis', binaries: ['redis-nowhere'], debianPackage: 'redis-server', image: 'redis' }
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
