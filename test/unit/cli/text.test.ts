import { expect, it } from 'vitest'
import { formatDuration, parseDuration } from '../../../src/cli/durations.ts'
import { parsePair, parseWholeNumber } from '../../../src/cli/option-values.ts'
import { cut, jsonLine, printable, printableLines, terminalFilter } from '../../../src/cli/printable.ts'
import { tableLines } from '../../../src/cli/table.ts'

const esc = '\u001b'

it.each([
  ['0', 0],
  ['300ms', 300],
  ['5s', 5000],
  ['2m', 120_000],
  ['1.5h', 5_400_000],
  ['1d', 86_400_000],
])('[R40] the duration %s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

it.each(['', '5', '5 s', '-5s', 's', '1e3s', '5s2', '5S'])('[R40] "%s" is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow(/unit/)
})

it.each([
  [0, '0 ms'],
  [85.4, '85 ms'],
  [3021, '3.0 s'],
  [9999, '9.9 s'],
  [59_999, '59 s'],
  [250_000, '4 min 10 s'],
  [7_200_000, '2 h'],
  [7_500_000, '2 h 5 min'],
  [90_000_000, '1 d 1 h'],
])('[R40] %i ms reads "%s"', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

it('[R40] option values: whole numbers and pairs', () => {
  expect(parseWholeNumber(1, 10)('10')).toBe(10)
  for (const text of ['0', '11', '1.5', '-1', '0x5', '']) expect(() => parseWholeNumber(1, 10)(text)).toThrow(/1 to 10/)
  expect(parsePair('A=b=c')).toEqual({ name: 'A', value: 'b=c' })
  expect(parsePair('A=')).toEqual({ name: 'A', value: '' })
  for (const text of ['A', '=b', '']) expect(() => parsePair(text)).toThrow(/NAME=value/)
})

it('[R40] nothing that a run wrote can act on the terminal', () => {
  expect(printable(`${esc}[31mred${esc}[0m`)).toBe('red')
  expect(printable(`${esc}]0;owned\u0007title`)).toBe('title')
  expect(printable('a\r\nb\tc\u0000d')).toBe('a b c d')
  expect(printable('\u009b2Jc1 csi')).not.toMatch(/[\u0080-\u009f]/)
  expect(printable('pay\u202eload\u2066x')).toBe('pay load x')
  expect(printable('Größe 日本 ✓')).toBe('Größe 日本 ✓')
  expect(printableLines('a\nb\u001b[2J')).toEqual(['a', 'b'])
})

it('[R40] JSON stays the same value, and is safe to look at', () => {
  const value = { text: `${esc}[2J\u009b2J\u007f\u202e\u2028 ok` }
  expect(JSON.parse(jsonLine(value))).toEqual(value)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(jsonLine(value)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2028]/)
})

it('[R40] output on a terminal keeps lines and colours, and loses everything else', () => {
  const filter = terminalFilter(true)
  expect(filter(`${esc}[1;32mgreen${esc}[0m\tok\r\n`)).toBe(`${esc}[1;32mgreen${esc}[0m\tok\n`)
  expect(filter(`${esc}[2J${esc}]52;c;aGk=\u0007x\u0007\u009bA`)).toBe('x')
  expect(filter('10 %\r20 %')).toBe('10 %\n20 %')
  expect(terminalFilter(false)(`${esc}[31mred`)).toBe('red')
})

it('[R40] a sequence that is cut in two by the end of a chunk is put together again', () => {
  const filter = terminalFilter(true)
  expect(filter(`a${esc}`) + filter('[3') + filter('1mb\r') + filter('\nc')).toBe(`a${esc}[31mb\nc`)
})

it('[R40] a table fits the terminal: the last column is cut, and is whole where nobody looks', () => {
  const plain = { paint: (_style: unknown, text: string) => text }
  const columns = [{ title: 'ID' }, { title: 'N', align: 'right' as const }, { title: 'TEXT' }]
  const rows = [
    ['a', '1', 'a rather long text'],
    ['bb', '22', { text: 'short', style: 'red' as const }],
  ]
  expect(tableLines(columns, rows, { ...plain, columns: 20 })).toEqual([
    'ID   N  TEXT',
    'a    1  a rather lo…',
    'bb  22  short',
  ])
  expect(tableLines(columns, rows, { ...plain, columns: undefined })[1]).toBe('a    1  a rather long text')
  expect(cut('日本語', 2)).toBe('日…')
})
