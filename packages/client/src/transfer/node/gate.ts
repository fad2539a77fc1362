/** Lets a bounded number of tasks run at once. The others wait in order. */
export interface Gate {
  run<T>(task: () => Promise<T>): Promise<T>
}

export function createGate(most: number): Gate {
  let running = 0
  const waiting: (() => void)[] = []
  return {
    async run(task) {
      if (running >= most) await new Promise<void>((resolve) => void waiting.push(resolve))
      else running++
      try {
        return await task()
      } finally {
        // The next task takes this place.
        const next = waiting.shift()
        if (next === undefined) running--
        else next()
      }
    },
  }
}
