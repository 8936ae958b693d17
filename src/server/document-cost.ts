import {
  type DocumentNode,
  type ExecutionArgs,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  getArgumentValues,
  getNamedType,
  getOperationAST,
  getVariableValues,
  isInterfaceType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from 'graphql'

/** What fetching a list costs by itself, in entries: a query to the store each. */
const listCost = 20

/** A larger page is refused by its own field, before anything is fetched. */
const pageMax = 500

/**
 * In entries. Enough for 500 runs with 20 events each. Without it, one document of 20 times 500 runs with their events
 * kept the database from everybody else for 8 s: `/readyz` failed, and nothing could be started or killed.
 */
const costMax = 25_000

/** For a valid document. undefined: it may be executed. */
export function refusalOfCost(args: ExecutionArgs): GraphQLError | undefined {
  const cost = costOf(args)
  if (cost <= costMax) return undefined
  const message =
    `The document asks for lists of ${Math.round(cost)} entries in all, where each list counts as ${listCost} more; ` +
    `it may ask for ${costMax}. Ask for smaller pages, or for fewer lists at a time.`
  return new GraphQLError(message, { extensions: { code: 'DOCUMENT_TOO_COSTLY', http: { status: 400, spec: true } } })
}

/** 0 where execution itself is about to say what is wrong. */
function costOf({ schema, document, operationName, variableValues }: ExecutionArgs): number {
  const operation = getOperationAST(document, operationName)
  const root = operation && schema.getRootType(operation.operation)
  if (operation == null || root == null) return 0
  const variables = getVariableValues(schema, operation.variableDefinitions ?? [], variableValues ?? {})
  if (variables.variableValues === undefined) return 0

  const fragments = fragmentsOf(document)
  // A document can spread fragments in fragments exponentially often: each is walked once.
  const known = new Map<string, number>()

  const ofSelections = ({ selections }: SelectionSetNode, type: string): number =>
    selections.reduce((sum, selection) => {
      if (selection.kind === Kind.FIELD) return sum + ofField(selection, type)
      if (selection.kind === Kind.FRAGMENT_SPREAD) return sum + ofFragment(selection.name.value)
      return sum + ofSelections(selection.selectionSet, selection.typeCondition?.name.value ?? type)
    }, 0)

  function ofFragment(name: string): number {
    const fragment = fragments.get(name)
    if (fragment === undefined) return 0
    const cost = known.get(name) ?? ofSelections(fragment.selectionSet, fragment.typeCondition.name.value)
    known.set(name, cost)
    return cost
  }

  function ofField(node: FieldNode, type: string): number {
    const field = fieldOf(schema, type, node.name.value)
    if (field === undefined || node.selectionSet === undefined) return 0
    const inside = ofSelections(node.selectionSet, getNamedType(field.type).name)
    if (!field.args.some(({ name }) => name === 'first' || name === 'last')) return inside
    const { first, last } = getArgumentValues(field, node, variables.variableValues)
    return listCost + Math.min(Number(first ?? last ?? pageMax), pageMax) * (1 + inside)
  }

  return ofSelections(operation.selectionSet, root.name)
}

const fragmentsOf = ({ definitions }: DocumentNode): Map<string, FragmentDefinitionNode> =>
  new Map(
    definitions
      .filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION)
      .map((fragment) => [fragment.name.value, fragment]),
  )

function fieldOf(schema: GraphQLSchema, type: string, name: string) {
  const parent = schema.getType(type)
  return isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined
}
