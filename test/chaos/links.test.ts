import { expect, test } from 'vitest'
import { metricsIn } from './links.js'

const TEXT = `# HELP peerage_links Links to other nodes that stand.
# TYPE peerage_links gauge
peerage_links 2
peerage_link_switches_total{to="link",reason="busy"} 4
peerage_link_switches_total{to="inbox",reason="unconfirmed"} 1
peerage_link_switches_total{to="inbox",reason="ended"} 2.5
`

test('a metric is the sum of its values with the given label', () => {
  const read = metricsIn(TEXT)
  expect(read('peerage_links')).toBe(2)
  expect(read('peerage_link_switches_total')).toBe(7.5)
  expect(read('peerage_link_switches_total', 'to="inbox"')).toBe(3.5)
  expect(read('peerage_link_switches_total', 'reason="full"')).toBe(0)
})

test('an absent metric is 0, and the start of a name does not match', () => {
  const read = metricsIn(TEXT)
  expect(read('peerage_link')).toBe(0)
  expect(read('peerage_other')).toBe(0)
})
