/** Runs each step of a stop, even if the previous one failed: a failed step must not leave the others open. */
export async function inTurn(
  steps: Iterable<() => Promise<unknown> | void>,
  failed: (error: unknown) => void,
): Promise<void> {
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      failed(error)
    }
  }
}
