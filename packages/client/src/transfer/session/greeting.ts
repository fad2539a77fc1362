import type { Clock } from '../../lib/clock.js'
import type { Control } from './control.js'
import type { SplitConduit } from './split-conduit.js'

/** How long one side waits for the other's first message on a verified conduit. */
const GREETING_MS = 20_000

/** The next message about the session. Undefined: none came in time, or the conduit closed. */
export function nextControl(split: SplitConduit, clock: Clock): Promise<Control | undefined> {
  const kept = split.takeControl()
  if (kept !== undefined) return Promise.resolve(kept)
  return new Promise((resolve) => {
    const end = (control: Control | undefined): void => {
      timer.cancel()
      stop()
      resolve(control)
    }
    const timer = clock.after(GREETING_MS, () => end(undefined))
    const stop = split.onControl(end)
    split.conduit.onClosed(() => end(undefined))
  })
}
