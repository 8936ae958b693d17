import { isDeepStrictEqual } from 'node:util'

/** Whether two values are the same as the store keeps them: without keys whose value is undefined, in any order. */
export const sameJson = (a: unknown, b: unknown): boolean => isDeepStrictEqual(asJson(a), asJson(b))

const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
