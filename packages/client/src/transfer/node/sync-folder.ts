import { open } from 'node:fs/promises'

// The syncs of folders. Thousands of small files that become complete one after the other share them.

const running = new Map<string, Promise<void>>()
/** The sync that begins when the running one is done. */
const next = new Map<string, Promise<void>>()

/**
 * Resolves when the names that the folder has now are on disk. Some systems cannot do this, and need not. Those who ask
 * while a sync runs share the one after it, because the running one may have begun too early for them.
 */
export function syncFolder(path: string): Promise<void> {
  const current = running.get(path)
  if (current === undefined) return begin(path)
  const waiting = next.get(path) ?? current.then(() => begin(path))
  next.set(path, waiting)
  return waiting
}

function begin(path: string): Promise<void> {
  next.delete(path)
  const done = sync(path).finally(() => running.delete(path))
  running.set(path, done)
  return done
}

async function sync(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
