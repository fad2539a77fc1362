import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createScreen } from './screen.js'

function open(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 40 })
  return { screen: createScreen(stream), written: () => String(stream.read() ?? '') }
}

test('on a terminal, lines that stay are printed above those that are drawn anew', () => {
  const { screen, written } = open(true)
  screen.live(['a 1 %', 'b 2 %'])
  expect(written()).toBe('a 1 %\nb 2 %\n')
  screen.live(['a 1 %', 'b 2 %'])
  expect(written()).toBe('')
  screen.print('done')
  expect(written()).toBe('\u001B[2A\r\u001B[Jdone\na 1 %\nb 2 %\n')
  screen.live([])
  expect(written()).toBe('\u001B[2A\r\u001B[J')
  expect(screen.columns()).toBe(40)
})

test('elsewhere, nothing is drawn', () => {
  const { screen, written } = open(false)
  screen.live(['a 1 %'])
  screen.print('done')
  expect(written()).toBe('done\n')
})
