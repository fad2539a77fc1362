/** Takes each step of a stop, whatever became of the one before: a step that fails must not leave the rest open. */
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
