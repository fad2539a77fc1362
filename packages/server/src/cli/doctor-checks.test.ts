import { describe, expect, test } from 'vitest'
import { checkBacklog } from './doctor-checks.js'

describe('the number of connections that may wait to be accepted', () => {
  test.each([
    ['4096\n', 'ok', /^4096 connections/],
    ['511\n', 'warn', /^only 511 .*net\.core\.somaxconn to 4096/],
  ])('somaxconn %j: %s', (content, verdict, text) => {
    const asked: string[] = []
    const found = checkBacklog((path) => {
      asked.push(path)
      return content
    })
    expect(asked).toEqual(['/proc/sys/net/core/somaxconn'])
    expect(found.verdict).toBe(verdict)
    expect(found.text).toMatch(text)
  })

  test('without that file, it says that it does not know', () => {
    const found = checkBacklog(() => {
      throw new Error('ENOENT')
    })
    expect(found).toMatchObject({ verdict: 'warn', subject: 'backlog' })
  })
})
