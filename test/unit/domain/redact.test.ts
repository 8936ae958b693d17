import { describe, expect, it } from 'vitest'
import { redactArguments, redactCommand, redactLine, redactText } from '../../../src/domain/redact.ts'

const secret = 'hunter22xhunter22x'

describe('a recorded command line', () => {
  it.each([
    ['an option and its value', ['psql', '--password', secret]],
    ['an option with its value', ['psql', `--password=${secret}`]],
    ['an option in camel case', ['gh', '--githubToken', secret]],
    ['an option with a prefix', ['x', '--client-secret', secret]],
    ['an assignment', ['env', `PGPASSWORD=${secret}`, 'run']],
    ['an assignment in quotes', ['sh', '-c', `export TOKEN="a b ${secret}"`]],
    ['an assignment whose quote was cut off', ['sh', '-c', `export TOKEN="a b ${secret}`]],
    ['an option inside a shell line', ['sh', '-c', `deploy --token ${secret} --verbose`]],
    ['JSON', ['claude', '--settings', `{"apiKey":"${secret}"}`]],
    ['JSON in quotes', ['sh', '-c', `claude --settings "{\\"apiKey\\": \\"${secret}\\"}"`]],
    ['a bearer', ['curl', '-H', `Authorization: Bearer ${secret}`]],
    ['another scheme', ['curl', '-H', `Authorization: token ${secret}`]],
    ['a header of its own', ['curl', '-H', `X-Api-Key: ${secret}`]],
    ['a password in a URL', [`postgres://bob:${secret}@host/db`]],
    ['a password with an @ in a URL', [`postgres://bob:p@ss-${secret}@host/db`]],
    ['a token in a URL', [`https://${secret}@github.com/a/b`]],
    ['a parameter of a URL', [`https://host/?access_token=${secret}&b=1`]],
    ['a known shape', [`sk-ant-${secret}`]],
  ])('does not show the secret of %s', (_, argv) => {
    expect(redactCommand(argv)).not.toContain('hunter22x')
    expect(redactCommand(argv)).toContain('[redacted]')
    expect(redactArguments(argv)).toHaveLength(argv.length)
  })

  it.each([
    [['node', '--max-tokens', '5', '--author', 'ada']],
    [['ssh', 'ssh://git@github.com/a/b', 'http://localhost:4680/graphql']],
    [['claude', '-p', 'Fix the parser: it is slow.']],
    [['sh', '-c', `echo '{"usage":{"inputTokens":1200,"cache_read_input_tokens": 90}}'`]],
  ])('shows what is none: %j', (argv) => {
    expect(redactCommand(argv)).toBe(argv.join(' '))
  })

  it('is one line of at most 200 characters', () => {
    expect(redactCommand(['sh', '-c', 'a\nb\0c\u2028d', 'x'.repeat(300)])).toMatch(/^sh -c a b c d x{186}$/)
  })
})

it.each(['a', 'a.', 'a-', 'token_', 'a://', 'eyJ.', '--token ', 'token="', 'token=', 'a@'])(
  'takes no longer than the text is long: %j, over and over',
  (part) => {
    const text = part.repeat(131_072 / part.length)
    const begun = performance.now()
    redactText(text)
    redactCommand([text, `--${text}`, text])
    redactLine(text)
    // Takes about 30 ms; what grows with the square of the length took 16 s.
    expect(performance.now() - begun).toBeLessThan(1_000)
  },
)

it('a line of output comes without escapes, in whole characters', () => {
  expect(redactLine('\u001b[31mred\u001b[0m \u001b]0;title\u0007bell\u0007 \u009b')).toBe('red bell')
  expect(redactLine('😀'.repeat(600))).toBe('😀'.repeat(500))
})
