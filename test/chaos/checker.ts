import type { Event } from './history.js'

export interface Verdict {
  sent: number
  acknowledged: number
  received: number
  /** Acknowledged, but no application received it. */
  lost: string[]
  /** Received twice by one holder of a name. */
  doubled: string[]
  /** Received after a later message of the same sender, by the same holder. */
  reordered: string[]
  /** Received by two different holders of the name, whether acknowledged or not. */
  strangers: string[]
  /** Two applications held one name at the same time for longer than is allowed. */
  heldTwice: { name: string; by: [string, string]; fromMs: number; forMs: number }[]
  /** Sends that were never answered. */
  unsettled: string[]
}

export interface Rules {
  /** How late a former holder may be told: up to a lease if the store had two primaries. */
  overlapMs: number
  /** When the history ends. A send within `deadlineMs` before it may be unanswered. */
  endMs: number
  deadlineMs: number
}

/** Reads a history and finds what must not happen. */
export function check(events: readonly Event[], rules: Rules): Verdict {
  const sends = new Map<string, { from: string; to: string; order: number; at: number }>()
  const settled = new Map<string, string>()
  const receipts = new Map<string, number[]>()
  const verdict: Verdict = {
    sent: 0,
    acknowledged: 0,
    received: 0,
    lost: [],
    doubled: [],
    reordered: [],
    strangers: [],
    heldTwice: heldTwice(events, rules),
    unsettled: [],
  }
  const latest = new Map<string, number>()
  for (const event of events) {
    if (event.type === 'send') sends.set(event.id, event)
    else if (event.type === 'settled') settled.set(event.id, event.outcome)
    else if (event.type === 'received') {
      const send = sends.get(event.id)
      if (!send) throw new Error(`received ${event.id}, which nobody sent`)
      verdict.received++
      const before = receipts.get(event.id) ?? []
      if (before.includes(event.since)) verdict.doubled.push(event.id)
      else if (before.length > 0) verdict.strangers.push(event.id)
      receipts.set(event.id, [...before, event.since])
      const pair = JSON.stringify([send.from, event.to, event.since])
      const last = latest.get(pair) ?? -1
      if (send.order < last && !before.includes(event.since)) verdict.reordered.push(event.id)
      latest.set(pair, Math.max(last, send.order))
    }
  }
  verdict.sent = sends.size
  for (const [id, send] of sends) {
    const outcome = settled.get(id)
    if (outcome === 'delivered') {
      verdict.acknowledged++
      if (!receipts.has(id)) verdict.lost.push(id)
    }
    if (outcome === undefined && send.at < rules.endMs - rules.deadlineMs) verdict.unsettled.push(id)
  }
  return verdict
}

interface Hold {
  who: string
  from: number
  until: number
}

function heldTwice(events: readonly Event[], rules: Rules): Verdict['heldTwice'] {
  const holds = new Map<string, Hold[]>()
  const open = new Map<string, Hold>()
  for (const event of events) {
    if (event.type === 'holds') {
      const key = JSON.stringify([event.name, event.who])
      if (open.has(key)) continue
      const hold = { who: event.who, from: event.at, until: rules.endMs }
      open.set(key, hold)
      holds.set(event.name, [...(holds.get(event.name) ?? []), hold])
    } else if (event.type === 'lost') {
      const key = JSON.stringify([event.name, event.who])
      const hold = open.get(key)
      if (hold) hold.until = event.at
      open.delete(key)
    }
  }
  const found: Verdict['heldTwice'] = []
  for (const [name, list] of holds)
    for (const [i, one] of list.entries())
      for (const other of list.slice(i + 1)) {
        const fromMs = Math.max(one.from, other.from)
        const forMs = Math.min(one.until, other.until) - fromMs
        if (one.who !== other.who && forMs > rules.overlapMs)
          found.push({ name, by: [one.who, other.who], fromMs, forMs })
      }
  return found
}

/** The part of a verdict in which nothing happened that must not happen. */
export const CLEAN = {
  lost: [],
  doubled: [],
  reordered: [],
  strangers: [],
  heldTwice: [],
  unsettled: [],
} satisfies Partial<Verdict>

/** Whether nothing happened that must not happen. */
export function isClean(verdict: Verdict): boolean {
  const { lost, doubled, reordered, strangers, heldTwice: twice, unsettled } = verdict
  return [lost, doubled, reordered, strangers, twice, unsettled].every((list) => list.length === 0)
}

/**
 * Outages after one injection: for each sender, the time from the injection to its first send after it that was
 * delivered. A sender that did not send again is left out. If none was delivered, the outage lasts to the end.
 */
export function outages(events: readonly Event[], from: number, until: number): number[] {
  const sends = new Map<string, { from: string; at: number }>()
  const first = new Map<string, number>()
  for (const event of events) {
    if (event.at < from || event.at > until) continue
    if (event.type === 'send') {
      sends.set(event.id, event)
      if (!first.has(event.from)) first.set(event.from, until - from)
    }
    if (event.type !== 'settled' || event.outcome !== 'delivered') continue
    const send = sends.get(event.id)
    if (send) first.set(send.from, Math.min(first.get(send.from) ?? Infinity, event.at - from))
  }
  return [...first.values()]
}

export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return 0
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0
}
