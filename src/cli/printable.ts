import { stripVTControlCharacters } from 'node:util'

/**
 * What a terminal may act on: C0 and C1 controls, DEL, line separators, and the marks that reorder text.
 * A run chooses its own output; without this it could paint over the answer, or retitle and drive the terminal.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: naming them is the point
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]+/g

/** One line that is safe on a terminal: escape sequences are dropped, whatever else is a control becomes one space. */
export const printable = (text: string) => stripVTControlCharacters(text).replace(controls, ' ').trim()

/** The same text in several lines, each of them safe. */
export const printableLines = (text: string) => text.split(/\r\n|\r|\n/).map(printable)

/** At most `width` characters; a cut is shown by `…`. */
export function cut(text: string, width: number): string {
  const characters = [...text]
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`
}

/** JSON on one line. The controls that JSON itself lets through are escaped too; the value is the same. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(controls, (found) =>
    [...found].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  )
}

/** The longest sequence start that is waited for; a longer one is no sequence that is let through anyway. */
const openSequenceMax = 64
// biome-ignore lint/suspicious/noControlCharactersInRegex: naming them is the point
const openSequence = /(?:\u001b(?:\[[0-9;:]*)?|\r)$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: naming them is the point
const colourSequence = /(\u001b\[[0-9;:]*m)/

/**
 * Makes a stream of output fit for a terminal: lines, tabs and (with `colour`) colours pass, every other control does
 * not. Feed it chunk by chunk: a sequence that is cut in two by a chunk's end is put together again.
 */
export function terminalFilter(colour: boolean): (chunk: string) => string {
  let held = ''
  return (chunk) => {
    const text = held + chunk
    const open = openSequence.exec(text)?.[0] ?? ''
    held = open.length <= openSequenceMax ? open : ''
    return text
      .slice(0, text.length - held.length)
      .replace(/\r+\n?/g, '\n')
      .split(colourSequence)
      .map((part, index) => (index % 2 === 1 ? (colour ? part : '') : withoutControls(part)))
      .join('')
  }
}

const withoutControls = (text: string) =>
  stripVTControlCharacters(text).replace(controls, (found) => found.replace(/[^\n\t]/g, ''))
