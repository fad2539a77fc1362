/** Often enough for people, and seldom enough for a share of ten thousand files, each of which changes several times. */
const EVERY_MS = 100

/** Something that is done at once, and then at most ten times a second, however often it is asked for. */
export interface Paced {
  ask: () => void
  stop: () => void
}

export function paced(act: () => void): Paced {
  let timer: NodeJS.Timeout | undefined
  let isAsked = false
  let isStopped = false
  const run = (): void => {
    isAsked = false
    timer = setTimeout(() => {
      timer = undefined
      if (isAsked) run()
    }, EVERY_MS)
    act()
  }
  return {
    ask() {
      if (timer !== undefined) isAsked = true
      else if (!isStopped) run()
    },
    stop() {
      isStopped = true
      clearTimeout(timer)
      timer = undefined
    },
  }
}
