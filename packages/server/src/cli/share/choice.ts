/**
 * Reads which files a person wants: `y` or nothing for all, `n` for none, or numbers such as `1,3-5`.
 * Undefined: it is none of these, or a number is too large.
 */
export function parseChoice(answer: string, count: number): number[] | undefined {
  const text = answer.trim().toLowerCase()
  const all = Array.from({ length: count }, (_, index) => index)
  if (['', 'y', 'yes'].includes(text)) return all
  if (['n', 'no'].includes(text)) return []
  const chosen = new Set<number>()
  for (const range of text.split(/\s*,\s*|\s+/)) {
    const [, from = '', to = from] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? []
    const [first, last] = [Number(from), Number(to)]
    if (from === '' || first < 1 || last < first || last > count) return undefined
    for (let number = first; number <= last; number++) chosen.add(number - 1)
  }
  return all.filter((index) => chosen.has(index))
}
