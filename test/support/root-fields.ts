import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  type OperationTypeNode,
} from 'graphql'

/** A smallest valid operation for every root field there is, so that none is forgotten when one is added. */
export function operationsOf(
  schema: GraphQLSchema,
): { operation: OperationTypeNode; name: string; document: string }[] {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
  return roots.filter((type) => type != null).flatMap((type) => operationsOn(type))
}

function operationsOn(type: GraphQLObjectType) {
  const operation = type.name.toLowerCase() as OperationTypeNode
  return Object.values(type.getFields()).map((field) => ({
    operation,
    name: field.name,
    document: `${operation} { ${field.name}${argumentsOf(field)}${isCompositeType(getNamedType(field.type)) ? ' { __typename }' : ''} }`,
  }))
}

function argumentsOf({ args }: GraphQLField<unknown, unknown>): string {
  const required = args.filter(({ type, defaultValue }) => isNonNullType(type) && defaultValue === undefined)
  if (required.length === 0) return ''
  return `(${required.map(({ name, type }) => `${name}: ${literalOf(type)}`).join(', ')})`
}

function literalOf(type: GraphQLInputType): string {
  if (isNonNullType(type)) return literalOf(type.ofType)
  if (isListType(type)) return `[${literalOf(type.ofType)}]`
  if (isEnumType(type)) return type.getValues()[0]?.name ?? ''
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter((field) => isNonNullType(field.type))
    return `{ ${fields.map((field) => `${field.name}: ${literalOf(field.type)}`).join(', ')} }`
  }
  return { Int: '1', Float: '1', Boolean: 'true' }[type.name] ?? '"run_0123456789ab"'
}
