import { describe, expect, test } from 'vitest'
import { deviceOf, deviceParts, isTerminal } from './device.js'

const SAFARI = 'AppleWebKit/605.1.15 (KHTML, like Gecko)'
const CHROME = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)'
const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)'
const LINUX = 'Mozilla/5.0 (X11; Linux x86_64)'
const ANDROID = 'Mozilla/5.0 (Linux; Android 10; K)'
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X)'
const IPAD = 'Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X)'

describe('the user agent text', () => {
  test.each([
    [`${WINDOWS} ${CHROME} Chrome/143.0.0.0 Safari/537.36`, 'Chrome on Windows'],
    [`${MAC} ${CHROME} Chrome/143.0.0.0 Safari/537.36`, 'Chrome on Mac'],
    [`${LINUX} ${CHROME} Chrome/143.0.0.0 Safari/537.36`, 'Chrome on Linux'],
    [
      `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${CHROME} Chrome/143.0.0.0 Safari/537.36`,
      'Chrome on ChromeOS',
    ],
    [`${ANDROID} ${CHROME} Chrome/143.0.0.0 Mobile Safari/537.36`, 'Chrome on Android'],
    [`${IPHONE} ${SAFARI} CriOS/143.0.7499.38 Mobile/15E148 Safari/604.1`, 'Chrome on iPhone'],
    [`${IPAD} ${SAFARI} CriOS/143.0.7499.38 Mobile/15E148 Safari/604.1`, 'Chrome on iPad'],
    [`${LINUX} ${CHROME} HeadlessChrome/143.0.0.0 Safari/537.36`, 'Chrome on Linux'],
    [
      `${LINUX} ${CHROME} Ubuntu Chromium/80.0.3987.87 Chrome/80.0.3987.87 Safari/537.36`,
      'Chromium on Linux',
    ],
    [`${WINDOWS} ${CHROME} Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0`, 'Edge on Windows'],
    [`${MAC} ${CHROME} Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0`, 'Edge on Mac'],
    [`${ANDROID} ${CHROME} Chrome/143.0.0.0 Mobile Safari/537.36 EdgA/143.0.0.0`, 'Edge on Android'],
    [`${IPHONE} ${SAFARI} Version/18.0 EdgiOS/143.0.3650.28 Mobile/15E148 Safari/604.1`, 'Edge on iPhone'],
    [`${WINDOWS} ${CHROME} Chrome/142.0.0.0 Safari/537.36 OPR/126.0.0.0`, 'Opera on Windows'],
    [`${ANDROID} ${CHROME} Chrome/142.0.0.0 Mobile Safari/537.36 OPR/93.0.0.0`, 'Opera on Android'],
    [`${IPHONE} ${SAFARI} Version/18.7 Mobile/15E148 Safari/604.1 OPT/6.0.0`, 'Opera on iPhone'],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0',
      'Firefox on Windows',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0',
      'Firefox on Mac',
    ],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox on Linux'],
    ['Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0', 'Firefox on Android'],
    [`${IPHONE} ${SAFARI} FxiOS/145.0 Mobile/15E148 Safari/604.1`, 'Firefox on iPhone'],
    [`${MAC} ${SAFARI} Version/26.1 Safari/605.1.15`, 'Safari on Mac'],
    [`${IPHONE} ${SAFARI} Version/26.1 Mobile/15E148 Safari/604.1`, 'Safari on iPhone'],
    [`${IPAD} ${SAFARI} Version/18.7 Mobile/15E148 Safari/604.1`, 'Safari on iPad'],
    [
      `Mozilla/5.0 (Linux; Android 15; SM-S931B Build/AP3A.240905.015; wv) ${CHROME} Version/4.0 Chrome/127.0.6533.103 Mobile Safari/537.36`,
      'WebView on Android',
    ],
    [
      `${ANDROID} ${CHROME} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36`,
      'Samsung Internet on Android',
    ],
    [
      `Mozilla/5.0 (Linux; Android 14; 22081212C; wv) ${CHROME} Version/4.0 Chrome/134.0 XWEB/1340 Mobile Safari/537.36 MicroMessenger/8.0.60 NetType/WIFI`,
      'WeChat on Android',
    ],
    [`${IPHONE} ${SAFARI} Mobile/15E148`, 'iPhone'],
    ['something else', ''],
  ])('%s is %j', (userAgent, device) => {
    expect(deviceOf({ userAgent })).toBe(device)
  })
})

describe('what the browser says in parts comes first', () => {
  const brands = (...names: string[]) => names.map((brand) => ({ brand }))
  const userAgent = `${LINUX} ${CHROME} Chrome/143.0.0.0 Safari/537.36`
  test.each([
    [brands('Google Chrome', 'Chromium', 'Not A(Brand'), 'Windows', 'Chrome on Windows'],
    [brands('Not;A=Brand', 'Chromium'), 'Linux', 'Chromium on Linux'],
    [brands('Chromium', 'HeadlessChrome', 'Not A(Brand'), 'Linux', 'Chrome on Linux'],
    [brands('Chromium', 'Microsoft Edge', 'Not A(Brand'), 'macOS', 'Edge on Mac'],
    [brands('Chromium', 'Microsoft Edge WebView2', 'Microsoft Edge'), 'Windows', 'Edge on Windows'],
    [brands('Chromium', 'Opera', 'Not A(Brand'), 'Windows', 'Opera on Windows'],
    [brands('Chromium', 'Samsung Internet', 'Not A(Brand'), 'Android', 'Samsung Internet on Android'],
    [brands('Chromium', 'Android WebView', 'Not A(Brand'), 'Android', 'WebView on Android'],
    [brands('Chromium', 'Brave', 'Not A(Brand'), 'Chrome OS', 'Brave on ChromeOS'],
    // Nothing that is known: the text decides.
    [brands('Somebody Else'), 'Plan 9', 'Chrome on Linux'],
    [[], '', 'Chrome on Linux'],
  ])('%j on %j is %j', (some, platform, device) => {
    expect(deviceOf({ userAgent, userAgentData: { brands: some, platform } })).toBe(device)
  })
})

test('an iPad that says it is a Mac has a touch screen', () => {
  const userAgent = `${MAC} ${SAFARI} Version/26.1 Safari/605.1.15`
  expect(deviceOf({ userAgent, maxTouchPoints: 5 })).toBe('Safari on iPad')
  expect(deviceOf({ userAgent, maxTouchPoints: 0 })).toBe('Safari on Mac')
})

test('what another peer says is shown in parts only if it has that form', () => {
  expect(deviceParts('Firefox on Android')).toEqual({ browser: 'Firefox', system: 'Android' })
  expect(deviceParts('<b>x</b> on y')).toBeUndefined()
})

test('the terminal program is told from browsers', () => {
  expect(isTerminal('Terminal on Linux')).toBe(true)
  expect(['Firefox on Linux', 'Terminals', ''].some(isTerminal)).toBe(false)
})
