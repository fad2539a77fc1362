import { describe, expect, test } from 'vitest'
import { english } from '../words/en.js'
import { chinese } from '../words/zh.js'
import { ANIMALS, COLOURS, friendlyName } from './friendly.js'

describe('friendlyName', () => {
  test('is the same for the same name, and spreads over all colours and animals', () => {
    expect(friendlyName('k3v9')).toEqual(friendlyName('k3v9'))
    const names = Array.from({ length: 4_000 }, (_, index) => friendlyName(`peer-${index}`))
    expect(new Set(names.map(({ colour }) => colour)).size).toBe(COLOURS)
    expect(new Set(names.map(({ animal }) => animal)).size).toBe(ANIMALS)
  })

  test.each([english, chinese])('each language has its own word for each colour and animal', (words) => {
    const names = new Set<string>()
    for (let colour = 0; colour < COLOURS; colour++)
      for (let animal = 0; animal < ANIMALS; animal++) names.add(words.guestName(colour, animal))
    expect(names.size).toBe(COLOURS * ANIMALS)
  })
})
