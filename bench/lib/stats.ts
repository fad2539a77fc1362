/** The value at `share` (0 to 1) of a sorted list, interpolated between two neighbours. */
export function quantile(sorted: readonly number[] | Float64Array, share: number): number {
  const place = (sorted.length - 1) * share
  const low = sorted[Math.floor(place)] ?? Number.NaN
  const high = sorted[Math.ceil(place)] ?? Number.NaN
  return low + (high - low) * (place - Math.floor(place))
}

export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  )
}

/**
 * The median of the ratios of values that were measured next to each other. A machine that slows down between two rounds
 * changes both sides of a pair. The ratio of two medians would divide values from different rounds.
 */
export function pairedRatio(subject: readonly number[], against: readonly number[]): Spread {
  const pairs = Math.min(subject.length, against.length)
  const ratios = Array.from({ length: pairs }, (_, index) => (subject[index] ?? 0) / (against[index] ?? 0))
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) }
}

export interface Spread {
  median: number
  least: number
  most: number
}
