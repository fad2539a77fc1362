import { RegistryUnavailable } from '@peerage/core'
import type { RedisNodes } from './nodes.js'

/**
 * Sends a command that Redis must not carry out after its caller has given up. `send` presents the latest time for it, by
 * Redis's clock, and resolves with undefined if it came too late. Then our idea of that clock may have been wrong, so this
 * reads the clock and sends the command again. Rejects with RegistryUnavailable if it was too late again, and tells `onLate`.
 */
export async function inTime<T>(
  nodes: Pick<RedisNodes, 'refresh'>,
  send: () => Promise<T | undefined>,
  onLate: (error: RegistryUnavailable) => void = () => {},
): Promise<T> {
  const answer = await send()
  if (answer !== undefined) return answer
  await nodes.refresh()
  const again = await send()
  if (again !== undefined) return again
  const error = new RegistryUnavailable('Redis carried the command out too late')
  onLate(error)
  throw error
}
