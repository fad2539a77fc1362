import type { AppPolicy } from '../apps/policy.js'
import type { LimitValues } from '../gateway/shared/limits.js'

/** The limits of a node, and those that each of its apps has. */
export interface TestLimits extends LimitValues {
  name: AppPolicy['limits']['name']
}

/** Limits that let everything through. */
export const unlimited: TestLimits = {
  connection: { messagesPerSecond: 0, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
  name: { messagesPerSecond: 0, failuresPerMinute: 0 },
  address: { connections: 0, connectsPerSecond: 0, lookupsPerSecond: 0, failuresPerMinute: 0 },
  node: { connections: 0, connectsPerSecond: 0, bufferedBytes: 0 },
}
