/** How many edits still look like a slip of the pen, by the length of what was written. */
const editsMax = (text: string) => Math.max(1, Math.floor(text.length / 3))

/** What was probably meant: the names that are a few edits away, nearest first, at most `max`. Case does not count. */
export function nearestNames(written: string, names: readonly string[], max = 3): string[] {
  return names
    .map((name) => ({ name, edits: edits(written.toLowerCase(), name.toLowerCase()) }))
    .filter(({ edits }) => edits <= editsMax(written))
    .sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1))
    .slice(0, max)
    .map(({ name }) => name)
}

/** Letters to insert, remove or replace (Levenshtein's distance), row by row. */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= to.length; column++) {
      const replaced = at(row, column - 1) + (letter === to[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, at(row, column) + 1, at(next, column - 1) + 1))
    }
    row = next
  }
  return at(row, to.length)
}

const at = (row: number[], index: number) => row[index] ?? Number.POSITIVE_INFINITY
