const hidden = '[redacted]'

const secretWords =
  'token|passwd|password|passphrase|secret|api[-_]?key|access[-_]?key|private[-_]?key|credentials?|auth'
const quoted = `\\\\?"[^"]*(?:"|$)|'[^']*(?:'|$)`
// Every repetition has a bound or a fixed place to begin at: without, an argument of 128 KiB took 16 s.
const optionName = `--?[a-z0-9_-]{0,60}(?:${secretWords})(?:[-_](?:key|value|id))?`
const secretOption = new RegExp(`^${optionName}$`, 'i')
const secretOptionWithValue = new RegExp(`^(${optionName}=).+`, 'is')
const secretOptionInText = new RegExp(`(?<=^|\\s)(${optionName}\\s)\\s{0,10}(?:${quoted}|[^\\s"']+)`, 'gi')
const secretAssignment = new RegExp(
  `\\b([a-z0-9_]{0,60}(?:${secretWords})[a-z0-9_]{0,60}(?:\\\\?["'])?\\s{0,10}[=:]\\s{0,10})(${quoted}|[^\\s"',;&]+)`,
  'gi',
)

/** Shapes that are secret wherever they stand. */
const secretShapes: [RegExp, string][] = [
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${hidden}`],
  [/\b(authorization\s{0,10}[:=]\s{0,10})(?!(?:Bearer|Basic)\b)[^"'\r\n]+/gi, `$1${hidden}`],
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@]{0,200}):[^\s/]+@/gi, `$1:${hidden}@`],
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s:/@]{8,}@/gi, `$1${hidden}@`],
  [/\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}/g, hidden],
  [/\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|npm_|lin_api_)[A-Za-z0-9_-]{8,}/g, hidden],
  [/\bAKIA[A-Z0-9]{12,}/g, hidden],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, hidden],
  [secretOptionInText, `$1${hidden}`],
]

/** Text without what looks like a secret: assignments to secret-sounding names, and the shapes of known tokens. */
export function redactText(text: string): string {
  const withoutShapes = secretShapes.reduce((shown, [shape, instead]) => shown.replace(shape, instead), text)
  return withoutShapes.replace(secretAssignment, (whole, name: string, value: string) =>
    /^(Bearer|Basic)$/i.test(value) || value.startsWith('[redacted') || isCount(name, value)
      ? whole
      : `${name}${hidden}`,
  )
}

/** Such as `inputTokens: 1200`, which says what a run costs. */
const isCount = (name: string, value: string) => /tokens\W*$/i.test(name) && /^\d{1,12}[}\])'"]*$/.test(value)

/** An argv of the same length, without the values of secret-sounding options. */
export function redactArguments(argv: readonly string[]): string[] {
  return argv.map((argument, index) => {
    if (secretOption.test(argv[index - 1] ?? '')) return hidden
    const [, option] = secretOptionWithValue.exec(argument) ?? []
    return option === undefined ? redactText(argument) : `${option}${hidden}`
  })
}

const secretName = new RegExp(secretWords, 'i')

/** Variables by name, without the values of those with a secret-sounding name, and without what looks like a secret. */
export const redactEnv = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, secretName.test(name) ? hidden : redactText(value)]),
  )

/**
 * JSON of a shape that is not known, in which every list of texts called `command` is taken for an argv, and all texts
 * by name in an `env` for variables.
 */
export function redactCommands(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(redactCommands)
  if (data === null || typeof data !== 'object') return data
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key,
      isArgv(key, value) ? redactArguments(value) : isEnv(key, value) ? redactEnv(value) : redactCommands(value),
    ]),
  )
}

const isArgv = (key: string, value: unknown): value is string[] =>
  key === 'command' && Array.isArray(value) && value.every((argument) => typeof argument === 'string')

const isEnv = (key: string, value: unknown): value is Record<string, string> =>
  key === 'env' &&
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every((variable) => typeof variable === 'string')

/**
 * One line for people from an argv, without the values of secret-sounding options.
 * @returns at most `max` characters
 */
export const redactCommand = (argv: readonly string[], max = 200): string =>
  // What lies beyond cannot be shown, so it need not be looked at.
  oneLine(redactArguments(argv.slice(0, max).map((argument) => argument.slice(0, 4 * max))).join(' '), max)

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must go
const ansiEscape = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g

/** Without terminal escapes and control characters, redacted, at most `max` characters. */
export function redactLine(text: string, max = 500): string {
  return oneLine(redactText(oneLine(text.replace(ansiEscape, ''), 4 * max)), max)
}

function oneLine(text: string, max: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must go
  return [...text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim()].slice(0, max).join('')
}
