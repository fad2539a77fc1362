// Reads the tables of SPEC.md, for the tests that compare them with the code.

/** The rows of the first table below this heading, by column. Backticks around a whole cell are removed. */
export function readTable(markdown: string, heading: string): Record<string, string>[] {
  const [, ...after] = markdown.split(new RegExp(`^#+ (?:\\d+\\. )?${heading}$`, 'm'))
  const section = after.join('').split(/^#+ /m)[0] ?? ''
  const [head, , ...rows] = section.split('\n').filter((line) => line.startsWith('|'))
  if (head === undefined)
    throw new Error(`the document has no table below the heading ${JSON.stringify(heading)}`)
  const columns = cellsOf(head)
  return rows.map((row) => {
    const cells = cellsOf(row)
    if (cells.length !== columns.length)
      throw new Error(
        `a row of ${JSON.stringify(heading)} has ${cells.length} cells, not ${columns.length}: ${row}`,
      )
    return Object.fromEntries(columns.map((column, i) => [column, cells[i] ?? '']))
  })
}

function cellsOf(row: string): string[] {
  return row
    .slice(1, -1)
    .split('|')
    .map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1'))
}
