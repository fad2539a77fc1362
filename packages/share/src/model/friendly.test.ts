import { describe, expect, test } from 'vitest'
import { english } from '../words/en.js'
import { chinese } from '../words/zh.js'
import { ANIMALS, COLOURS, deviceOf, deviceParts, friendlyName } from './friendly.js'

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

describe('the device', () => {
  test.each([
    [
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
      'Chrome on Linux',
    ],
    ['Mozilla/5.0 (Android 15; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0', 'Firefox on Android'],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0',
      'Edge on Windows',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile Safari/604',
      'Safari on iPhone',
    ],
    ['something else', ''],
  ])('%s is %j', (userAgent, device) => {
    expect(deviceOf(userAgent)).toBe(device)
  })

  test('what another peer says is shown in parts only if it has that form', () => {
    expect(deviceParts('Firefox on Android')).toEqual({ browser: 'Firefox', system: 'Android' })
    expect(deviceParts('<b>x</b> on y')).toBeUndefined()
  })
})
