// What: rewrites modules so that each atomic operation is a point where a scheduler may switch threads.
// Flow: source text without types -> syntax tree -> this: functions on the way to an atomic become generators.
// Thread: the test's.

import { SourceMap, type SourceMapPayload } from 'node:module'
import { parseSync } from 'vite'
import { bare, calleeName, children, isFunction, keyName, type Node } from './tree.ts'

/** Operations by their name in src/shared/atomics.ts, and the two waits of ops.ts. */
export const Kind = {
  load: 0,
  store: 1,
  add: 2,
  sub: 3,
  or: 4,
  exchange: 5,
  compareExchange: 6,
  waitWhile: 7,
  awaitEdge: 8,
  and: 9,
  wait: 10,
  notify: 11,
  /** What a thread does that wait() has put to sleep: go on, once it was woken. */
  awake: 12,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]
export type KindName = keyof typeof Kind

/** One call of an atomic operation in the source. */
export interface Site {
  /** `shared/link_stack push exchange 1`: file, function, operation, and its number in the function. */
  readonly name: string
  readonly path: string
  readonly kind: KindName
}

/** Two statements behind one another whose order other threads may see, exchanged. */
export interface Swap {
  /** `shared/link_stack push swap 2`: file, function, and the number of the pair in the function. */
  readonly name: string
  /** `shared/link_stack push `. */
  readonly functionName: string
  /** The module with the two exchanged. */
  readonly text: string
}

/** A function of a module. Names say who calls it: `f` for f(), `.f` for x.f(). */
interface Unit {
  readonly node: Node
  /** The node that holds the function's name. */
  readonly holder: Node | null
  readonly name: string | null
  readonly label: string
  readonly calls: Set<string>
  isAtomic: boolean
}

/** A module as read: its text, its tree, its functions. */
export interface Module {
  readonly path: string
  readonly text: string
  readonly program: Node
  readonly units: readonly Unit[]
  /** Local name -> operation. */
  readonly operations: ReadonlyMap<string, KindName>
  readonly imports: readonly Import[]
  /** Where a node stands in the source: `src/shared/waker.ts:12`. */
  placeOf(node: Node): string
}

interface Import {
  readonly start: number
  readonly from: string
  /** As a destructuring names them. */
  readonly names: readonly string[]
}

/** The name under which a function is called, by what stands around it. */
function unitName(node: Node, parent: Node | null): { name: string | null; holder: Node | null } {
  if (node.type === 'FunctionDeclaration') return { name: node.id?.name ?? null, holder: node }
  if (parent === null) return { name: null, holder: null }
  if (parent.type === 'MethodDefinition' || parent.type === 'PropertyDefinition')
    return { name: `.${keyName(parent.key)}`, holder: parent }
  if (parent.type === 'Property' && parent.value === node)
    return { name: `.${keyName(parent.key)}`, holder: parent }
  if (parent.type === 'VariableDeclarator') return { name: parent.id.name ?? null, holder: parent }
  if (parent.type === 'AssignmentExpression' && bare(parent.left).type === 'MemberExpression')
    return { name: `.${keyName(bare(parent.left).property)}`, holder: parent }
  return { name: null, holder: null }
}

/** Without a map the text is the source. */
export function readModule(path: string, text: string, map?: SourceMapPayload): Module {
  const { program, errors } = parseSync(path.replace(/\.ts$/, '.js'), text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`)
  const units: Unit[] = []
  const operations = new Map<string, KindName>()
  const imports: Import[] = []
  for (const statement of program.body as unknown as Node[]) {
    if (statement.type !== 'ImportDeclaration') continue
    const from: string = statement.source.value
    const names: string[] = []
    for (const specifier of statement.specifiers as Node[]) {
      const { local, imported } = specifier
      const outside = imported?.name ?? 'default'
      names.push(outside === local.name ? outside : `${outside}: ${local.name}`)
      if (/\/(atomics|ops)\.ts$/.test(from) && outside in Kind)
        operations.set(local.name, outside as KindName)
    }
    imports.push({ start: statement.start, from, names })
  }
  const visit = (node: Node, parent: Node | null, unit: Unit | null, label: string): void => {
    let inside = unit
    let within = label
    if (isFunction(node)) {
      const { name, holder } = unitName(node, parent)
      within = name === null ? label : name.replace(/^\./, '')
      inside = { node, holder, name, label: within, calls: new Set(), isAtomic: false }
      units.push(inside)
    }
    if (node.type === 'CallExpression' && inside !== null) {
      const name = calleeName(node)
      if (name !== null) {
        inside.calls.add(name)
        if (operations.has(name)) inside.isAtomic = true
      }
    }
    for (const child of children(node)) visit(child, node, inside, within)
  }
  visit(program as unknown as Node, null, null, '')
  const sourceMap = map === undefined ? null : new SourceMap(map)
  const placeOf = ({ start }: Node): string => {
    const lines = text.slice(0, start).split('\n')
    const entry = sourceMap?.findEntry(lines.length - 1, (lines.at(-1) as string).length)
    const isKnown = entry !== undefined && 'originalLine' in entry
    return `${path}:${isKnown ? entry.originalLine + 1 : lines.length}`
  }
  return { path, text, program: program as unknown as Node, units, operations, imports, placeOf }
}

/** Names of functions that reach an atomic operation, over all modules: a fixed point by name. */
export function suspending(modules: readonly Module[]): Set<string> {
  const names = new Set<string>()
  for (let before = -1; before !== names.size; ) {
    before = names.size
    for (const { units } of modules) {
      for (const unit of units) {
        if (!unit.isAtomic && ![...unit.calls].some((name) => names.has(name))) continue
        unit.isAtomic = true
        if (unit.name !== null) names.add(unit.name)
      }
    }
  }
  return names
}

/** Methods of the language: x.push() may be an array's. */
const BUILTIN = new Set(
  [[], new Map(), new Set(), '', Promise.resolve(), () => {}, new Uint8Array()].flatMap((value) => {
    const names: string[] = []
    for (let at = Object.getPrototypeOf(value); at !== null; at = Object.getPrototypeOf(at))
      names.push(...Object.getOwnPropertyNames(at))
    return names
  }),
)

/** Names that can mean nothing but a function that reaches an atomic operation. */
export function certain(modules: readonly Module[], names: ReadonlySet<string>): Set<string> {
  const sure = new Set([...names].filter((name) => !BUILTIN.has(name.replace(/^\./, ''))))
  for (const { units } of modules)
    for (const { name, isAtomic } of units) if (name !== null && !isAtomic) sure.delete(name)
  return sure
}

/** Marks the functions of a module that was read again. */
export function mark(module: Module, names: ReadonlySet<string>): Module {
  for (const unit of module.units) unit.isAtomic ||= [...unit.calls].some((name) => names.has(name))
  return module
}

/** Text edits by position; what is opened first is outermost. */
class Edits {
  readonly #at = new Map<number, { close: string; open: string }>()
  readonly #cuts: [start: number, end: number][] = []

  #place(position: number) {
    let place = this.#at.get(position)
    if (place === undefined) {
      place = { close: '', open: '' }
      this.#at.set(position, place)
    }
    return place
  }

  wrap(node: Node, open: string, close: string): void {
    this.open(node.start, open)
    this.close(node.end, close)
  }

  open(position: number, text: string): void {
    this.#place(position).open += text
  }

  close(position: number, text: string): void {
    const place = this.#place(position)
    place.close = text + place.close
  }

  replace(start: number, end: number, text: string): void {
    this.#cuts.push([start, end])
    // In front of what the following node opens, behind what the node before closes.
    const place = this.#place(start)
    place.close += text
  }

  apply(text: string): string {
    const cut = (position: number) =>
      this.#cuts.find(([start, end]) => start <= position && position < end)
    let out = ''
    let from = 0
    for (const position of [...this.#at.keys()].sort((a, b) => a - b)) {
      const edge = cut(from)
      out += text.slice(edge === undefined ? from : Math.min(edge[1], position), position)
      const { close, open } = this.#at.get(position) as { close: string; open: string }
      out += close + open
      from = position
    }
    const edge = cut(from)
    return out + text.slice(edge === undefined ? from : edge[1])
  }
}

export interface Emitted {
  readonly code: string
  readonly sites: readonly Site[]
}

const shortPath = (path: string) => path.replace(/^(test\/model|src)\//, '').replace(/\.ts$/, '')

/** Whether an index expression is on shared words: `words[i]`, `this.#words[i]`, `arena.words[i]`. */
function isWords(node: Node): boolean {
  if (node.type !== 'MemberExpression' || !node.computed) return false
  const object = bare(node.object)
  if (object.type === 'Identifier') return object.name === 'words'
  return object.type === 'MemberExpression' && /^#?words$/.test(keyName(object.property))
}

/**
 * The module as the body of a function ($import, $export, $op, $gen, $r, $w). `names` are those of functions
 * that suspend, `sure` those that cannot be another's; `firstSite` numbers the sites on. Atomic operations become `yield $op(…)`, plain accesses to shared words $r and $w.
 */
export function emit(
  module: Module,
  names: ReadonlySet<string>,
  sure: ReadonlySet<string>,
  firstSite: number,
  resolve: (from: string) => string,
): Emitted {
  const edits = new Edits()
  const sites: Site[] = []
  const counts = new Map<string, number>()
  const unitOf = new Map(module.units.map((unit) => [unit.node, unit]))

  const atomicCall = (node: Node, kind: KindName, unit: Unit): void => {
    const key = `${unit.label} ${kind}`
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    const number = firstSite + sites.length
    sites.push({ name: `${shortPath(module.path)} ${key} ${count}`, path: module.path, kind })
    edits.open(node.start, `(yield $op(${number}, ${Kind[kind]}, `)
    edits.replace(node.start, (node.arguments as Node[])[0].start, '')
    edits.close(node.end, ')')
  }

  const suspendingCall = (node: Node, whole: Node): void => {
    const name = calleeName(node) as string
    if (sure.has(name) && whole === node) edits.wrap(node, '(yield* ', ')')
    else edits.wrap(whole, '($$ = (', '), $gen($$) ? yield* $$ : $$)')
  }

  const enter = (unit: Unit, parent: Node | null): void => {
    const { node, holder } = unit
    const kind: string = holder?.type === 'MethodDefinition' ? holder.kind : 'method'
    const isGetter = kind !== 'method' || (holder?.type === 'Property' && holder.kind !== 'init')
    if (isGetter || node.async || unit.name === null) {
      if (kind === 'constructor')
        throw new Error(`${module.placeOf(node)}: a constructor reaches an atomic operation`)
      // Nobody can suspend it, so no model may call it.
      const body: Node = node.body
      const thrown = `throw new Error('${unit.label} cannot be suspended: it is not in any model')`
      if (body.type === 'BlockStatement') edits.open(body.start + 1, `${thrown};`)
      else edits.wrap(body, `{ ${thrown}; return (`, ') }')
      return
    }
    if (node.type === 'ArrowFunctionExpression') {
      const params = node.params as Node[]
      const inner =
        params.length === 0 ? '' : module.text.slice(params[0].start, (params.at(-1) as Node).end)
      const isBlock = node.body.type === 'BlockStatement'
      edits.replace(
        node.start,
        node.body.start,
        `(function* (${inner}) ${isBlock ? '' : '{ let $$; return ('}`,
      )
      if (isBlock) edits.open(node.body.start + 1, 'let $$;')
      edits.close(node.end, isBlock ? ').bind(this)' : ') }).bind(this)')
      return
    }
    if (node.type === 'FunctionDeclaration') edits.open(node.start + 'function'.length, '* ')
    else if (parent?.type === 'MethodDefinition' || parent?.method === true)
      edits.open((parent as Node).key.start, '*')
    else edits.open(node.start + 'function'.length, '*')
    edits.open(node.body.start + 1, 'let $$;')
  }

  const canSuspend = (unit: Unit | null): boolean =>
    unit?.isAtomic === true &&
    unit.name !== null &&
    !unit.node.async &&
    !(unit.holder?.type === 'MethodDefinition' && unit.holder.kind !== 'method')

  const visit = (node: Node, parent: Node | null, unit: Unit | null): void => {
    let inside = unit
    if (isFunction(node)) {
      inside = unitOf.get(node) as Unit
      if (inside.isAtomic) enter(inside, parent)
    }
    if (node.type === 'ImportDeclaration' || node.type.startsWith('Export')) {
      moduleStatement(node)
      for (const child of children(node)) if (child.type !== 'Literal') visit(child, node, inside)
      return
    }
    if (node.type === 'CallExpression' && canSuspend(inside)) {
      const name = calleeName(node)
      const kind = name === null ? undefined : module.operations.get(name)
      if (kind !== undefined) atomicCall(node, kind, inside as Unit)
      else if (name !== null && names.has(name) && bare(node.callee).type !== 'Super')
        suspendingCall(node, parent?.type === 'ChainExpression' ? parent : node)
    }
    wordAccess(node, parent)
    for (const child of children(node)) visit(child, node, inside)
  }

  const wordAccess = (node: Node, parent: Node | null): void => {
    if (node.type === 'AssignmentExpression' && isWords(bare(node.left))) {
      if (node.operator !== '=') {
        throw new Error(`${module.placeOf(node)}: ${node.operator} on shared words`)
      }
      const left = bare(node.left)
      edits.open(node.start, '$w(')
      edits.replace(left.object.end, left.property.start, ', ')
      edits.replace(left.property.end, node.right.start, ', ')
      edits.close(node.end, ')')
      return
    }
    if (!isWords(node)) return
    if (parent?.type === 'AssignmentExpression' && bare(parent.left) === node) return
    if (parent?.type === 'UpdateExpression')
      throw new Error(`${module.placeOf(node)}: ++ on shared words`)
    edits.open(node.start, '$r(')
    edits.replace(node.object.end, node.property.start, ', ')
    edits.replace(node.property.end, node.end, ')')
  }

  const moduleStatement = (node: Node): void => {
    if (node.type === 'ImportDeclaration') {
      const { names } = module.imports.find(({ start }) => start === node.start) as Import
      const source = `$import(${JSON.stringify(resolve(node.source.value))})`
      edits.replace(node.start, node.end, `const { ${names.join(', ')} } = ${source};`)
      return
    }
    if (node.type === 'ExportNamedDeclaration' && node.declaration !== null) {
      const { declaration } = node
      edits.replace(node.start, declaration.start, '')
      const ids: string[] =
        declaration.type === 'VariableDeclaration'
          ? declaration.declarations.map((declarator: Node) => declarator.id.name)
          : [declaration.id.name]
      edits.close(node.end, `\n$export({ ${ids.join(', ')} });`)
      return
    }
    if (node.type === 'ExportNamedDeclaration' && node.source === null) {
      const names = (node.specifiers as Node[]).map(
        ({ local, exported }) => `${exported.name}: ${local.name}`,
      )
      edits.replace(node.start, node.end, `$export({ ${names.join(', ')} });`)
      return
    }
    throw new Error(`${module.placeOf(node)}: ${node.type} is not known here`)
  }

  visit(module.program, null, null)
  return { code: edits.apply(module.text), sites }
}

/** Names that a pattern or statement declares. */
function declared(node: Node): string[] {
  if (node.type !== 'VariableDeclaration') return []
  return (node.declarations as Node[]).flatMap(({ id }: Node) =>
    id.type === 'Identifier' ? [id.name] : children(id).map((part) => part.key?.name ?? ''),
  )
}

function mentions(node: Node, names: readonly string[]): boolean {
  if (node.type === 'Identifier' && names.includes(node.name)) return true
  return children(node).some((child) => mentions(child, names))
}

/** What a statement has of its own: an operation, a call that reaches one, a store to shared words. */
function effectOf(module: Module, names: ReadonlySet<string>, node: Node): 'atomic' | 'plain' | '' {
  let effect: 'atomic' | 'plain' | '' = ''
  const visit = (inner: Node): void => {
    if (isFunction(inner)) return
    if (inner.type === 'CallExpression') {
      const name = calleeName(inner)
      // A function of a module (push, release, clear) is an operation with a name.
      const isNamed = name !== null && !name.startsWith('.') && names.has(name)
      if (name !== null && (module.operations.has(name) || isNamed)) effect = 'atomic'
    }
    const isStore = inner.type === 'AssignmentExpression' && isWords(bare(inner.left))
    if (isStore && effect === '') effect = 'plain'
    for (const child of children(inner)) visit(child)
  }
  visit(node)
  return effect
}

const endsFlow = (node: Node): boolean => /^(Return|Throw|Break|Continue)Statement$/.test(node.type)

/**
 * Statements behind one another in one block, both of which touch shared memory and at least one by an atomic
 * operation, exchanged: where neither needs what the other declares and neither leaves the block.
 */
export function swaps(module: Module, names: ReadonlySet<string>): Swap[] {
  const found: Swap[] = []
  const visit = (node: Node, unit: Unit | null, count: { n: number }): void => {
    let inside = unit
    let counter = count
    if (isFunction(node)) {
      inside = module.units.find((known) => known.node === node) as Unit
      counter = { n: 0 }
    }
    if (node.type === 'BlockStatement' && inside?.isAtomic === true) {
      const body = node.body as Node[]
      for (let i = 0; i + 1 < body.length; i++) {
        const [first, second] = [body[i], body[i + 1]]
        const effects = [first, second].map((part) => effectOf(module, names, part))
        if (effects.includes('') || !effects.includes('atomic')) continue
        if (endsFlow(first) || endsFlow(second)) continue
        if (mentions(second, declared(first)) || mentions(first, declared(second))) continue
        counter.n++
        const { text } = module
        const functionName = `${shortPath(module.path)} ${inside.label} `
        found.push({
          name: `${functionName}swap ${counter.n}`,
          functionName,
          text:
            text.slice(0, first.start) +
            text.slice(second.start, second.end) +
            text.slice(first.end, second.start) +
            text.slice(first.start, first.end) +
            text.slice(second.end),
        })
      }
    }
    for (const child of children(node)) visit(child, inside, counter)
  }
  visit(module.program, null, { n: 0 })
  return found
}
