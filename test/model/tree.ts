// What: syntax trees of modules: nodes, their children, and how a call names what it calls.
// Flow: oxc's parser -> this -> transform.ts, refuse.ts.
// Thread: the test's.

export interface Node {
  type: string
  start: number
  end: number
  // biome-ignore lint/suspicious/noExplicitAny: fields differ by type of node.
  [field: string]: any
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'

export function children(node: Node): Node[] {
  const found: Node[] = []
  for (const value of Object.values(node)) {
    if (isNode(value)) found.push(value)
    else if (Array.isArray(value)) found.push(...value.filter(isNode))
  }
  return found
}

export const isFunction = (node: Node): boolean =>
  node.type === 'FunctionDeclaration' ||
  node.type === 'FunctionExpression' ||
  node.type === 'ArrowFunctionExpression'

export function bare(node: Node): Node {
  return node.type === 'ParenthesizedExpression' ? bare(node.expression) : node
}

/** How a call names what it calls; null: a computed or anonymous callee. */
export function calleeName(call: Node): string | null {
  const callee = bare(call.callee)
  if (callee.type === 'Identifier') return callee.name
  if (callee.type === 'MemberExpression' && !callee.computed) return `.${keyName(callee.property)}`
  return null
}

export function keyName(key: Node): string {
  return key.type === 'PrivateIdentifier' ? `#${key.name}` : (key.name ?? String(key.value))
}
