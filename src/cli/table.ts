import { cut } from './printable.ts'
import type { Style } from './screen.ts'

/** A cell: its text (safe already), and how it is painted. */
export type Cell = string | { text: string; style: Style }

export type Column = { title: string; align?: 'right' }

type Painter = { paint(style: Style, text: string): string; columns: number | undefined }

const textOf = (cell: Cell) => (typeof cell === 'string' ? cell : cell.text)
const widthOf = (text: string) => [...text].length

/** Lines of a table. The last column takes what is left of a terminal's width and is cut there. */
export function tableLines(columns: Column[], rows: Cell[][], painter: Painter): string[] {
  const widths = columns.map((column, index) =>
    Math.max(widthOf(column.title), ...rows.map((row) => widthOf(textOf(row[index] ?? '')))),
  )
  const last = columns.length - 1
  const before = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 0)
  const room = painter.columns === undefined ? Number.POSITIVE_INFINITY : Math.max(10, painter.columns - before)

  const line = (cells: Cell[]) =>
    cells
      .map((cell, index) => {
        const text = index === last ? cut(textOf(cell), room) : textOf(cell)
        const blanks = ' '.repeat(Math.max(0, (index === last ? 0 : (widths[index] ?? 0)) - widthOf(text)))
        const painted = typeof cell === 'string' ? text : painter.paint(cell.style, text)
        return columns[index]?.align === 'right' ? blanks + painted : painted + blanks
      })
      .join('  ')
      .trimEnd()

  return [line(columns.map(({ title }) => ({ text: title, style: 'dim' }))), ...rows.map(line)]
}
