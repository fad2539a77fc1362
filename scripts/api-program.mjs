// Reads with TypeScript what scripts/api.mjs needs: the exports of a file, their docstrings, and their types as written.
import { SyntaxKind } from 'typescript/unstable/ast'
import { API, SymbolFlags } from 'typescript/unstable/sync'
import { ROOT } from './lib.mjs'

export { SymbolFlags, SyntaxKind }

/** The source of a node on one line. */
export const getTextOfNode = (node) =>
  node
    .getText()
    .replaceAll(/\/\*\*[^]*?\*\//g, '')
    // Each member of a type is on its own line, without a semicolon.
    .replaceAll(/([^\s{;,(|&=>])\s*\n\s*(?=\w+\??[:(])/g, '$1; ')
    .replaceAll(/\s+/g, ' ')
    .replace(/^\| /, '')
    .trim()

/** Runs `act` over the program of tsconfig.check.json, which holds every package. */
export function withProgram(act) {
  const api = new API({ cwd: ROOT })
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${ROOT}tsconfig.check.json`] })
    const project = snapshot.getProject(`${ROOT}tsconfig.check.json`)
    return act(new Program(project))
  } finally {
    api.close()
  }
}

/** Neither `#private` nor `private` nor `@internal`, and not what a class inherits from JavaScript itself. */
export function isApiMember(program, member) {
  if (/^__#|^__@/.test(member.name)) return false
  const declaration = program.declarationOf(member)
  if (declaration === undefined || !program.isOurs(member)) return false
  if (declaration.modifiers?.some(({ kind }) => kind === SyntaxKind.PrivateKeyword)) return false
  // Every error class has this member, so it is not listed.
  if (member.name === 'name' && declaration.parent.heritageClauses?.[0]?.types[0]?.getText() === 'Error')
    return false
  return program.tagsOf(member).every(({ name }) => name !== 'internal')
}

/** The types that a declaration names, without those in a function's body. */
export function referencesIn(program, node) {
  const found = new Map()
  const visit = (each) => {
    if (each === undefined || each.kind === SyntaxKind.Block) return
    if (each.kind === SyntaxKind.TypeReference) {
      const symbol = program.symbolAt(each.typeName)
      // A type parameter is explained where it is declared, so it is not listed.
      if (symbol !== undefined && (symbol.flags & SymbolFlags.TypeParameter) === 0)
        found.set(symbol.id, symbol)
    }
    each.forEachChild(visit)
  }
  visit(node)
  return found.values()
}

/** How the members of a schema are declared. */
const SCHEMA_MEMBERS = [SyntaxKind.PropertyAssignment, SyntaxKind.ShorthandPropertyAssignment]

class Program {
  #project
  #checker

  constructor(project) {
    this.#project = project
    this.#checker = project.checker
  }

  exportsOf(file) {
    const module = this.#checker.getSymbolAtLocation(this.#project.program.getSourceFile(`${ROOT}${file}`))
    return this.#checker.getExportsOfModule(module).map((symbol) => [symbol.name, this.#unaliased(symbol)])
  }

  symbolAt(node) {
    const symbol = this.#checker.getSymbolAtLocation(node)
    return symbol === undefined ? undefined : this.#unaliased(symbol)
  }

  #unaliased(symbol) {
    return symbol.flags & SymbolFlags.Alias ? this.#checker.getAliasedSymbol(symbol) : symbol
  }

  declarationOf(symbol) {
    return symbol.declarations[0]?.resolve(this.#project)
  }

  fileOf(symbol) {
    return this.declarationOf(symbol)?.getSourceFile().fileName ?? ''
  }

  isOurs(symbol) {
    return this.fileOf(symbol).startsWith(`${ROOT}packages/`)
  }

  docOf(symbol) {
    const text = this.#checker.getDocumentationCommentOfSymbol(symbol).trim()
    // A line that begins with the name of a package looks like a tag.
    const more = this.#tags(symbol).filter(({ name }) => name === 'peerage')
    return [text, ...more.map((tag) => `@${tag.name}${tag.text}`)].join(' ').trim()
  }

  tagsOf(symbol) {
    // The errors of a setter do not matter to a program that reads the property.
    const isSet = symbol.declarations.some(({ kind }) => kind === SyntaxKind.SetAccessor)
    return isSet ? [] : this.#tags(symbol)
  }

  #tags(symbol) {
    return this.#checker.getJsDocTagsOfSymbol(symbol).map(({ name, text }) => ({ name, text: textOf(text) }))
  }

  /** Without the settings, which are members of a schema. */
  membersOf(symbol) {
    const type = this.#checker.getDeclaredTypeOfSymbol(symbol)
    return this.#checker
      .getPropertiesOfType(type)
      .filter((member) => !SCHEMA_MEMBERS.includes(this.declarationOf(member)?.kind))
  }

  /** What an interface extends. */
  basesOf(declaration) {
    return (declaration.heritageClauses ?? [])
      .flatMap(({ types }) => types)
      .flatMap((type) => this.symbolAt(type.expression) ?? [])
  }

  isAsync(symbol) {
    const declaration = this.declarationOf(symbol)
    const type = declaration.type?.getText() ?? this.signatureOf(symbol)?.text ?? ''
    return /^Promise<|\): Promise<|=> Promise</.test(type)
  }

  /** The source of a node with its line breaks, without comments. */
  source(node) {
    return node.getText().replaceAll(/^\s*\/\*\*[^]*?\*\/\n/gm, '')
  }

  /** How a function or a method is called: its parameters and its result as written. */
  signatureOf(symbol) {
    const type = this.#checker.getTypeOfSymbol(symbol)
    const [signature] = this.#checker.getSignaturesOfType(type, 0)
    const written = signature?.declaration?.resolve(this.#project)
    if (written === undefined) return undefined
    const bound = this.#boundFrom(this.declarationOf(symbol))
    const declaration = bound?.declaration ?? written
    const owner = declaration.name === undefined ? declaration.parent : declaration
    // A bound function already has its first arguments.
    const parameters = declaration.parameters.slice(bound?.given ?? 0)
    return {
      text: `${typeParameters(declaration)}(${parameters.map(parameterText).join(', ')}): ${getTextOfNode(declaration.type)}`,
      declaration: bound === undefined ? declaration : nodeOf([...parameters, declaration.type]),
      symbol: this.#checker.getSymbolAtLocation(owner.name ?? owner) ?? symbol,
    }
  }

  /** Of `const g = f.bind(undefined, a)`: the declaration of `f`, and how many of its parameters are given. */
  #boundFrom(declaration) {
    const call = declaration?.initializer
    if (call?.expression?.name?.text !== 'bind') return undefined
    const symbol = this.symbolAt(call.expression.expression)
    return symbol === undefined
      ? undefined
      : { declaration: this.declarationOf(symbol), given: call.arguments.length - 1 }
  }

  memberType(member) {
    const declaration = this.declarationOf(member)
    const isOptional = declaration.questionToken !== undefined || (member.flags & SymbolFlags.Optional) !== 0
    if (declaration.parameters !== undefined && declaration.kind !== SyntaxKind.GetAccessor) {
      const { text } = this.signatureOf(member)
      return { text: text.replace(/\): ([^]*)$/, ') => $1'), isOptional, node: declaration }
    }
    const { type } = declaration
    if (type === undefined) {
      const text = this.#checker.typeToString(this.#checker.getTypeOfSymbol(member))
      return { text, isOptional, node: undefined }
    }
    const text = getTextOfNode(type)
    return { text: isOptional ? withoutUndefined(text) : text, isOptional, node: type }
  }

  /** The values of a union, with what is said of each; undefined: it is no union of literals and objects. */
  choicesOf(declaration) {
    const choices = this.#choices(declaration.type, declaration.getSourceFile().text)
    return choices !== undefined && choices.length > 1 ? choices : undefined
  }

  #choices(type, source) {
    switch (type.kind) {
      case SyntaxKind.UnionType: {
        const parts = type.types.map((part) => {
          const doc = leadingDoc(source, part)
          return this.#choices(part, source)?.map((choice) => ({
            ...choice,
            doc: doc === '' ? choice.doc : doc,
          }))
        })
        if (parts.includes(undefined)) return undefined
        const choices = new Map()
        for (const choice of parts.flat())
          if (!choices.get(choice.text)?.doc) choices.set(choice.text, choice)
        return [...choices.values()]
      }
      case SyntaxKind.LiteralType:
      case SyntaxKind.TypeLiteral:
        return [{ text: getTextOfNode(type), doc: '' }]
      case SyntaxKind.TypeReference: {
        const declaration = this.declarationOf(this.symbolAt(type.typeName))
        if (declaration?.kind !== SyntaxKind.TypeAliasDeclaration) return undefined
        const choices = this.#choices(declaration.type, declaration.getSourceFile().text)
        return choices ?? this.#literals(type)
      }
      case SyntaxKind.TypeOperator:
        return this.#literals(type)
      default:
        return undefined
    }
  }

  /** The literals of a type that is computed, such as `keyof typeof codes`. */
  #literals(node) {
    const types = this.#checker.getTypeFromTypeNode(node)?.getTypes()
    if (types === undefined || !types.every((type) => type.isStringLiteralType())) return undefined
    return types.map(({ value }) => ({ text: `'${value}'`, doc: '' }))
  }

  /** The right side of an alias, or the body of an interface, on one line. */
  definitionOf(symbol) {
    const declaration = this.declarationOf(symbol)
    if (declaration.kind === SyntaxKind.TypeAliasDeclaration) {
      const choices = this.choicesOf(declaration)
      if (choices !== undefined) return choices.map(({ text }) => text).join(' | ')
      return getTextOfNode(declaration.type).replace(
        /^Brand<(\w+), '(\w+)'>$/,
        "$1 & { readonly [brand]: '$2' }",
      )
    }
    if (declaration.kind !== SyntaxKind.InterfaceDeclaration) return undefined
    return `{ ${declaration.members.map(getTextOfNode).join('; ')} }`
  }
}

const textOf = (text) =>
  typeof text === 'string'
    ? text.trim()
    : (text ?? [])
        .map((part) => part.text)
        .join('')
        .trim()

const withoutUndefined = (text) =>
  text.replace(/ \| undefined$/, '').replace(/^\((\([^]*\) => [^]*)\)$/, '$1')

const typeParameters = ({ typeParameters: list }) =>
  list === undefined || list.length === 0 ? '' : `<${list.map(getTextOfNode).join(', ')}>`

function parameterText({ name, dotDotDotToken, questionToken, initializer, type }) {
  const optional = questionToken !== undefined || initializer !== undefined ? '?' : ''
  const written = type === undefined ? typeof initializer?.text : getTextOfNode(type)
  const rest = dotDotDotToken === undefined ? '' : '...'
  return `${rest}${getTextOfNode(name)}${optional}: ${written}`
}

/** Stands for several nodes. */
const nodeOf = (nodes) => ({ kind: SyntaxKind.FunctionType, forEachChild: (visit) => nodes.forEach(visit) })

/** The docstring right before a part of a union. */
function leadingDoc(source, node) {
  const before = source.slice(node.pos, node.end)
  const own = /^\s*\|?\s*\/\*\*([^]*?)\*\//.exec(before)?.[1]
  const earlier = /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*\|?\s*$/.exec(source.slice(0, node.pos))?.[1]
  return (own ?? earlier ?? '')
    .replaceAll(/^\s*\* ?/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
}
