import type { Comparison, Contender, Metrics, Settings, Started } from './comparison.js'

/** Contender → its metrics, one entry a round. */
export type Samples = ReadonlyMap<string, readonly Metrics[]>

/**
 * Measures all contenders in every round, next to each other, and in the opposite order in every second round, so that
 * a machine that speeds up or slows down favours none of them.
 */
export async function runRounds(
  comparison: Comparison,
  rounds: number,
  settings: Settings,
): Promise<Samples> {
  const samples = new Map<string, Metrics[]>(comparison.contenders.map(({ name }) => [name, []]))
  const kept = new Map<string, Started>()
  try {
    if (comparison.processes === 'kept') await startAll(comparison, kept, settings)
    for (let round = 0; round < rounds; round++) {
      for (const contender of inTurn(comparison.contenders, round)) {
        const metrics = await measureOnce(contender, kept.get(contender.name), settings)
        samples.get(contender.name)?.push(metrics)
        settings.say(`${comparison.id} round ${round + 1}/${rounds} ${contender.name}: ${describe(metrics)}`)
      }
    }
  } finally {
    await Promise.all([...kept.values()].map((started) => started.stop()))
  }
  return samples
}

async function startAll(
  comparison: Comparison,
  kept: Map<string, Started>,
  settings: Settings,
): Promise<void> {
  for (const contender of comparison.contenders) {
    settings.say(`${comparison.id}: starting ${contender.name}`)
    kept.set(contender.name, await contender.start(settings))
  }
}

async function measureOnce(
  contender: Contender,
  kept: Started | undefined,
  settings: Settings,
): Promise<Metrics> {
  if (kept !== undefined) return kept.measure()
  const started = await contender.start(settings)
  try {
    return await started.measure()
  } finally {
    await started.stop()
  }
}

function inTurn(contenders: readonly Contender[], round: number): readonly Contender[] {
  return round % 2 === 0 ? contenders : contenders.toReversed()
}

const describe = (metrics: Metrics): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(', ')
