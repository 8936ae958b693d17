import type { ServerResponse } from 'node:http'

/** What every answer says, lest a browser guess at its type or show it inside another page. */
export const safeHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Cache-Control': 'no-store',
}

export function reply(response: ServerResponse, status: number, type: string, body: string, headers = {}): void {
  response.writeHead(status, { ...safeHeaders, 'Content-Type': `${type}; charset=utf-8`, ...headers })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

export const replyJson = (response: ServerResponse, status: number, body: object, headers = {}): void =>
  reply(response, status, 'application/json', `${JSON.stringify(body)}\n`, headers)

/** An error in the shape that GraphQL clients read. */
export const replyError = (
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers = {},
): void => replyJson(response, status, { errors: [{ message, extensions: { code } }] }, headers)

/** Answers 405 and returns false where the method is none of these. */
export function allows(response: ServerResponse, ...methods: string[]): boolean {
  if (methods.includes(response.req.method ?? '')) return true
  const allowed = methods.join(', ')
  replyError(response, 405, 'METHOD_NOT_ALLOWED', `This address takes ${allowed}.`, { Allow: allowed })
  return false
}
