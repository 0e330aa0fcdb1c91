// What: refuses modules with calls that would pass a suspended function on unseen, naming file and line.
// Flow: transform.ts's modules and names of what suspends -> this -> program.ts.
// Thread: the test's.

import type { Module } from './transform.ts'
import { bare, calleeName, children, isFunction, keyName, type Node } from './tree.ts'

/** Call what they are called on, under a name that says nothing of it. */
const INDIRECT = /^\.(?:apply|bind|call)$/

/** The name of a value as `calleeName` has it; null: not a name. */
const valueName = (value: Node): string | null => calleeName({ ...value, callee: value })

/**
 * Whether a call suspends is known by its name. What has none, or another one, would return a generator that nobody
 * runs: the atomic operations in it would never happen, and the model would be green.
 */
export function refuse(
  module: Module,
  names: ReadonlySet<string>,
  sure: ReadonlySet<string>,
): void {
  const fail = (node: Node, what: string): never => {
    const text = module.text.slice(node.start, node.end).split('\n')[0]
    throw new Error(`${module.placeOf(node)}: ${what}, so it cannot be suspended: ${text}`)
  }

  /** Functions that the module has by their own names. */
  const functions = new Set([
    ...module.units.map((unit) => unit.name),
    ...module.imports.flatMap((known) =>
      known.names.map((pair) => pair.split(': ').at(-1) as string),
    ),
  ])

  const suspends = (name: string | null): boolean =>
    name !== null &&
    (name.startsWith('.') || functions.has(name)) &&
    (sure.has(name) || module.operations.has(name))

  /** A value that goes where it is called by a name of its own. */
  const renamed = (value: Node | null, name: string | null): void => {
    if (value === null) return
    const bared = bare(value)
    const known = valueName(bared)
    if (bared.type === 'Identifier' && suspends(known) && known !== name?.replace(/^\./, ''))
      fail(value, 'a function on the way to an atomic operation gets another name')
  }

  const call = (node: Node, isInFunction: boolean): void => {
    const callee = bare(node.callee)
    if (callee.type === 'Super') return
    const name = calleeName(node)
    if (name === null) fail(node, 'what is called has no name')
    else if (INDIRECT.test(name) && suspends(valueName(bare(callee.object))))
      fail(node, 'what is called has another name')
    else if (!isInFunction && suspends(name)) fail(node, 'the call is in no function')
    else if (!names.has(name) && !functions.has(name)) {
      const other = name.startsWith('.') ? name.slice(1) : `.${name}`
      if (sure.has(other)) fail(node, `only '${other}' is known`)
    }
  }

  /** A parameter's default is evaluated before the function begins, which cannot be suspended there. */
  const defaults = (node: Node): void => {
    if (isFunction(node)) return
    const name = node.type === 'CallExpression' ? calleeName(node) : null
    if (name !== null && (names.has(name) || module.operations.has(name)))
      fail(node, "the call is in a parameter's default")
    for (const child of children(node)) defaults(child)
  }

  const visit = (node: Node, isInFunction: boolean): void => {
    const { type } = node
    if (type === 'CallExpression') call(node, isInFunction)
    if (type === 'CallExpression' || type === 'NewExpression') {
      for (const argument of node.arguments as Node[]) {
        if (suspends(valueName(bare(argument))))
          fail(argument, 'a function on the way to an atomic operation is an argument')
      }
    }
    if (type === 'TaggedTemplateExpression') {
      const name = calleeName({ ...node, callee: node.tag })
      if (name === null || names.has(name)) fail(node, 'a tag is called without brackets')
    }
    if (isFunction(node)) for (const parameter of node.params as Node[]) defaults(parameter)
    if (type === 'VariableDeclarator') renamed(node.init, node.id.name ?? null)
    if (type === 'AssignmentExpression') renamed(node.right, valueName(bare(node.left)))
    if (type === 'Property') renamed(node.value, keyName(node.key))
    if (type === 'ArrayExpression')
      for (const element of node.elements as (Node | null)[]) renamed(element, null)
    const isComputed = /^(?:MethodDefinition|PropertyDefinition|Property)$/.test(type)
    if (isComputed && node.computed === true && isAtomic(module, node.value))
      fail(node, 'a function on the way to an atomic operation has a computed name')
    // A field's value is its own: no function around its class suspends it.
    const isInside = isFunction(node) || (isInFunction && type !== 'PropertyDefinition')
    for (const child of children(node)) visit(child, isInside)
  }
  visit(module.program, false)
}

const isAtomic = (module: Module, node: Node | null): boolean =>
  module.units.some((unit) => unit.node === node && unit.isAtomic)
