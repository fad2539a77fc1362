// Writes docs/api.md from the docstrings of what @peerage/client and @peerage/server export.
// `--check` writes nothing: it prints what is wrong with the file or the docstrings, and then ends with 1.
// TypeScript's own API reads the sources, so no other package is needed, and no build.
import { readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import {
  getTextOfNode,
  isApiMember,
  referencesIn,
  SymbolFlags,
  SyntaxKind,
  withProgram,
} from './api-program.mjs'
import { ROOT } from './lib.mjs'

const FILE = `${ROOT}docs/api.md`

/** Every export has its place here. A section is a heading, the entry that exports its names, and these names. */
const PACKAGES = [
  {
    name: '@peerage/client',
    about:
      'The SDK for browsers and Node. `@peerage/client/static` exports the same as `@peerage/client`, without any dynamic import. `/manual`, `/react`, `/node` and `/transfer` have sections of their own below. The [SDK guide](sdk.md) is the place to begin.',
    sections: [
      {
        title: 'Connecting',
        entry: 'packages/client/src/entries/browser.ts',
        names: ['connect', 'ConnectOptions', 'FailedAttempt', 'IdentityStorage'],
      },
      {
        title: 'Peers',
        entry: 'packages/client/src/entries/browser.ts',
        names: [
          'Peer',
          'PeerEvents',
          'MessageAbout',
          'PeerState',
          'EndReason',
          'SendOptions',
          'Via',
          'SendResult',
          'Waiting',
          'RelayPolicy',
          'Presence',
          'ErrorStage',
        ],
      },
      {
        title: 'Rooms and meshes',
        entry: 'packages/client/src/entries/browser.ts',
        names: ['Room', 'RoomEvents', 'RoomMember', 'Mesh', 'MeshEvents'],
      },
      {
        title: 'Channels',
        entry: 'packages/client/src/entries/browser.ts',
        names: [
          'P2P',
          'P2PEvents',
          'P2POptions',
          'Verify',
          'ConnectionEnd',
          'VerifyLine',
          'PeerConnectionClass',
          'ChannelOptions',
          'Channel',
          'ChannelEvents',
          'ChannelData',
          'ChannelInfo',
          'ChannelPath',
          'Endpoint',
          'Outcome',
          'DiagnoseOptions',
          'Diagnosis',
          'Mapping',
          'Probe',
        ],
      },
      {
        title: 'Errors',
        entry: 'packages/client/src/entries/browser.ts',
        names: [
          'PeerageError',
          'PeerageErrorCode',
          'PeerageErrorOptions',
          'SendFailure',
          'ConnectError',
          'FailureStage',
        ],
      },
      {
        title: 'Clocks and transports of your own',
        entry: 'packages/client/src/entries/browser.ts',
        names: ['Clock', 'Timer', 'OpenTransport', 'Transport', 'TransportEvents'],
      },
      {
        title: '@peerage/client/manual',
        entry: 'packages/client/src/entries/manual.ts',
        names: ['offerManually', 'answerManually', 'ManualOptions', 'ManualOffer', 'ManualAnswer'],
      },
      {
        title: '@peerage/client/react',
        entry: 'packages/client/src/react.ts',
        names: ['createHooks', 'Hooks', 'ReactLike'],
      },
      {
        title: '@peerage/client/node',
        entry: 'packages/client/src/entries/node-only.ts',
        names: ['fileStorage'],
      },
      {
        title: 'For application servers: @peerage/client/api',
        entry: 'packages/client/src/entries/api.ts',
        names: [
          'createApi',
          'ApiOptions',
          'Api',
          'ApiError',
          'ApiErrorCode',
          'CallOptions',
          'ActOptions',
          'PageOptions',
          'PeersOptions',
          'Page',
          'ListedPeer',
          'Member',
          'MessageOptions',
          'MessageResult',
          'BatchResult',
          'DisconnectOptions',
          'Disconnected',
          'BanKind',
          'Ban',
          'MintOptions',
          'Minted',
          'Grants',
          'AllowList',
          'Revocation',
          'NodeState',
          'AppServer',
          'ServerOptions',
          'RegisterOptions',
          'Registration',
        ],
      },
      {
        title: 'Files by a link: @peerage/client/transfer',
        entry: 'packages/client/src/entries/transfer.ts',
        names: [
          'createSharing',
          'TransferControls',
          'ShareSession',
          'HostState',
          'CodeState',
          'SharedFile',
          'ShareHost',
          'ShareLink',
          'SharingOptions',
          'HostOptions',
          'JoinOptions',
          'Sharing',
          'BLOCK_BYTES',
          'TEXT_LENGTH_MAX',
          'FileInfo',
          'OfferedFile',
          'Block',
          'Source',
          'SourceError',
          'Store',
          'Target',
          'Received',
          'StoreError',
          'StoreProblem',
          'Message',
          'Conduit',
          'EndReason',
          'FileState',
          'TransferFile',
          'TransferText',
          'TransferItem',
          'Progress',
          'TransferState',
          'SharePath',
          'SessionState',
          'SessionEnd',
          'Consent',
          'ShareGuest',
          'blobSource',
          'memoryStore',
          'parseLink',
          'ParsedLink',
          'Link',
          'parseFragment',
          'ParsedFragment',
          'FragmentMistake',
          'LinkKey',
          'parseCode',
          'ParsedCode',
          'Code',
          'completeCode',
          'codeWords',
          'safePath',
          'SafePath',
          'Segments',
          'uniquePaths',
          'numbered',
          'pathKey',
          'releaseBytes',
        ],
      },
      {
        title: 'Files by a link, in Node: @peerage/client/transfer',
        entry: 'packages/client/src/entries/transfer-node-only.ts',
        names: [
          'fileSources',
          'FileSources',
          'Skipped',
          'folderStore',
          'FolderStore',
          'FolderStoreOptions',
          'Unstorable',
          'streamStore',
        ],
      },
    ],
  },
  {
    name: '@peerage/server',
    about:
      'A node inside an application. [Settings](settings.md) lists all settings. The [server guide](server.md) shows how to embed a node.',
    sections: [
      {
        title: 'A node',
        entry: 'packages/server/src/index.ts',
        names: [
          'createPeerage',
          'PeerageOptions',
          'Peerage',
          'Listening',
          'PortUnavailable',
          'ConfigInput',
          'Config',
        ],
      },
      {
        title: 'Access rules',
        entry: 'packages/server/src/index.ts',
        names: ['Access', 'AdmitRequest', 'Admitted'],
      },
    ],
  },
]

/** What a reader holds in a variable: each of its methods has a heading. */
const OBJECTS = {
  Peer: 'peer',
  P2P: 'peer.p2p',
  Channel: 'channel',
  Room: 'room',
  Mesh: 'mesh',
  Peerage: 'peerage',
}
/** Types that the schema of the settings makes. */
const MADE_BY_SCHEMA = new Set(['Config', 'ConfigInput'])
const SETTINGS = 'Its keys are [the settings](settings.md).'
/** A longer definition is left to its source file, unless it is a list of words. */
const DEFINITION_MOST = 160

class Reference {
  #program
  #lines = []
  /** What is wrong: exports without a place, members without a docstring. */
  problems = []
  /** Symbol id → anchor of its heading. */
  #anchors = new Map()
  #slugs = new Map()
  /** Name of an export → symbol id. */
  #ids = new Map()

  constructor(program) {
    this.#program = program
  }

  text() {
    this.#write('# API reference', '')
    this.#write('<!-- Written by `npm run docs` from the docstrings. Do not edit it by hand. -->', '')
    const packages = PACKAGES.map((each) => this.#place(each))
    for (const { name, sections } of packages) {
      this.#write(`- [${name}](#${this.#slugOf(name)})`)
      for (const { title, exports } of sections)
        this.#write(
          `  - ${title}: ${exports.map((one) => `[${one.name}](#${this.#anchors.get(one.symbol.id)})`).join(', ')}`,
        )
    }
    this.#write('')
    for (const each of packages) this.#package(each)
    return `${this.#lines
      .join('\n')
      .replaceAll(/\n{3,}/g, '\n\n')
      .trimEnd()}\n`
  }

  /** Finds the symbols of a package, and gives each heading its anchor, in the order of the page. */
  #place({ name, about, sections }) {
    const byEntry = new Map()
    for (const { entry } of sections)
      if (!byEntry.has(entry)) byEntry.set(entry, new Map(this.#program.exportsOf(entry)))
    const placed = new Map([...byEntry.keys()].map((entry) => [entry, new Set()]))
    this.#newSlug(name)
    const found = sections.map(({ title, entry, names }) => {
      this.#newSlug(title)
      const exports = names.flatMap((one) => {
        placed.get(entry).add(one)
        const symbol = byEntry.get(entry).get(one)
        if (symbol === undefined) {
          this.problems.push(`${entry} does not export ${one}: take it out of PACKAGES in scripts/api.mjs`)
          return []
        }
        this.#anchors.set(symbol.id, this.#newSlug(one))
        if (!this.#ids.has(one)) this.#ids.set(one, symbol.id)
        const object = OBJECTS[one]
        if (object !== undefined)
          for (const member of this.#members(symbol).filter(isMethod))
            this.#newSlug(`${object}.${member.name}()`)
        return [{ name: one, symbol }]
      })
      return { title, exports }
    })
    this.#newSlug(`Other types of ${name}`)
    for (const [entry, exports] of byEntry)
      for (const one of exports.keys())
        if (!placed.get(entry).has(one))
          this.problems.push(`${entry} exports ${one}: give it a place in PACKAGES in scripts/api.mjs`)
    return { name, about, sections: found }
  }

  /** GitHub's anchor of a heading. */
  #newSlug(heading) {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-')
    const count = this.#slugs.get(slug) ?? 0
    this.#slugs.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  }

  #slugOf(heading) {
    return heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-')
  }

  #package({ name, about, sections }) {
    /** Symbols that are named and have no heading. */
    const others = new Map()
    const note = (node) => {
      for (const symbol of referencesIn(this.#program, node))
        if (!this.#anchors.has(symbol.id) && this.#program.isOurs(symbol)) others.set(symbol.id, symbol)
    }
    this.#write(`## ${name}`, '', about, '')
    for (const { title, exports } of sections) {
      this.#write(`### ${title}`, '')
      for (const one of exports) this.#export(one, note)
    }
    this.#others(name, others)
  }

  #others(name, others) {
    if (others.size === 0) return
    this.#write(`### Other types of ${name}`, '')
    this.#write('The types above use these types, which the package does not export.', '')
    const rows = [...others.values()]
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((symbol) => {
        const file = relative(ROOT, this.#program.fileOf(symbol))
        const definition = this.#program.definitionOf(symbol)
        const isShort =
          definition !== undefined &&
          (definition.length <= DEFINITION_MOST || isWords(definition)) &&
          !definition.includes('typeof ')
        return [
          code(symbol.name),
          isShort ? code(definition) : `[${file}](../${file})`,
          this.#doc(symbol, `${symbol.name} (${file})`, { isOwn: false }),
        ]
      })
    this.#table(['Type', 'Definition', 'Description'], rows)
  }

  #export({ name, symbol }, note) {
    const declaration = this.#program.declarationOf(symbol)
    this.#write(`#### ${name}`, '')
    switch (declaration.kind) {
      case SyntaxKind.ClassDeclaration:
      case SyntaxKind.InterfaceDeclaration:
        if (OBJECTS[name] !== undefined) return this.#object(name, symbol, note)
        this.#docBlock(symbol, name)
        for (const base of this.#program.basesOf(declaration))
          if (MADE_BY_SCHEMA.has(base.name))
            this.#write(`It has all members of ${this.#link(base)}, and these:`, '')
        return this.#memberTable(name, symbol, note)
      case SyntaxKind.TypeAliasDeclaration:
        this.#docBlock(symbol, name)
        if (MADE_BY_SCHEMA.has(name)) return this.#write(SETTINGS, '')
        return this.#alias(name, symbol, declaration, note)
      default: {
        const signature = this.#program.signatureOf(symbol)
        if (signature === undefined && declaration.kind === SyntaxKind.VariableDeclaration)
          return this.#docBlock(symbol, name)
        if (signature === undefined)
          throw new Error(`${name}: ${SyntaxKind[declaration.kind]} is not known here`)
        note(signature.declaration)
        this.#signature(name, signature)
        return this.#docBlock(signature.symbol, name)
      }
    }
  }

  /** A class, or the interface of an object that a reader holds: a table of its properties, a heading for each method. */
  #object(name, symbol, note) {
    this.#docBlock(symbol, name)
    const members = this.#members(symbol)
    const properties = members.filter((member) => !isMethod(member))
    if (properties.length > 0) this.#memberTable(name, symbol, note, properties)
    for (const member of members.filter(isMethod)) {
      const signature = this.#program.signatureOf(member)
      note(signature.declaration)
      this.#write(`##### ${OBJECTS[name]}.${member.name}()`, '')
      this.#signature(member.name, signature)
      this.#docBlock(member, `${name}.${member.name}`)
    }
  }

  #signature(name, { text, declaration }) {
    this.#write('```ts', `${name}${text}`, '```', '')
    this.#writeTypes(declaration)
  }

  /** Links to the types that a declaration names. */
  #writeTypes(declaration) {
    const links = [...new Set(referencesIn(this.#program, declaration))]
      .filter((symbol) => this.#anchors.has(symbol.id))
      .map((symbol) => this.#link(symbol))
    if (links.length > 0) this.#write(`Types: ${[...new Set(links)].join(', ')}`, '')
  }

  #alias(name, symbol, declaration, note) {
    const { type } = declaration
    note(type)
    if (type.kind === SyntaxKind.TypeLiteral) return this.#memberTable(name, symbol, note)
    const choices = this.#program.choicesOf(declaration)
    if (choices?.some(({ doc }) => doc !== '')) {
      const rows = choices.map(({ text, doc }) => [code(text), cell(doc)])
      return this.#table(['Value', 'Meaning'], rows)
    }
    const source = this.#program.source(type)
    this.#write('```ts', `type ${name} =${source.startsWith('|') ? '\n  ' : ' '}${source}`, '```', '')
    this.#writeTypes(type)
  }

  /** Events are a type with a tuple for each: the arguments of its listener. */
  #events(name, members) {
    const rows = members.map((member) => {
      const args = getTextOfNode(this.#program.declarationOf(member).type).slice(1, -1)
      return [
        code(member.name),
        args === '' ? 'none' : code(args),
        this.#doc(member, `${name}.${member.name}`),
      ]
    })
    this.#table(['Event', 'Arguments of the listener', 'When'], rows)
  }

  #memberTable(name, symbol, note, members = this.#members(symbol)) {
    const types = members.map((member) => this.#program.declarationOf(member).type)
    if (types.every((type) => type?.kind === SyntaxKind.TupleType)) {
      types.forEach(note)
      return this.#events(name, members)
    }
    const rows = members.map((member) => {
      const { text, isOptional, node } = this.#program.memberType(member)
      if (node !== undefined) note(node)
      const [only, ...more] = node === undefined ? [] : [...referencesIn(this.#program, node)]
      const isOne = only !== undefined && more.length === 0 && this.#anchors.has(only.id)
      return [
        code(`${member.name}${isOptional ? '?' : ''}`),
        isOne ? this.#link(only, text) : code(text),
        this.#doc(member, `${name}.${member.name}`),
      ]
    })
    this.#table(['Member', 'Type', 'Description'], rows)
  }

  /** What a reader may use, in the order of the source. */
  #members(symbol) {
    return this.#program.membersOf(symbol).filter((member) => isApiMember(this.#program, member))
  }

  #link(symbol, text = symbol.name) {
    return `[\`${text}\`](#${this.#anchors.get(symbol.id)})`
  }

  /** The whole docstring below a heading: its text, then what each tag says. */
  #docBlock(symbol, where) {
    this.#require(symbol, where)
    const tags = this.#program.tagsOf(symbol)
    const of = (name) => tags.filter((tag) => tag.name === name).map(({ text }) => text)
    this.#write(this.#linked(this.#program.docOf(symbol), symbol), '')
    this.#list(of('param').map((text) => this.#linked(paramLine(text), symbol)))
    for (const text of of('returns')) this.#write(this.#linked(`Returns ${within(text)}.`, symbol), '')
    const throws = of('throws').map((text) => cell(`- ${within(text)}.`))
    if (throws.length > 0) this.#write(`${this.#verb(symbol)}:`, '', ...throws, '')
    for (const text of of('example')) this.#write(example(text), '')
  }

  /** Links the names of types that have a heading, and the specifications. */
  #linked(text, { name: own }) {
    return text
      .replaceAll(/(?<!\[)`([A-Z]\w+)`/g, (found, name) => {
        const id = name === own ? undefined : this.#ids.get(name)
        return id === undefined ? found : `[${found}](#${this.#anchors.get(id)})`
      })
      .replaceAll(/(?:packages\/(\w+)\/|\b(protocol) )?\bSPEC\.md/g, (found, path, word) => {
        const folder = path ?? word ?? 'client'
        return `[${found}](../packages/${folder}/SPEC.md)`
      })
      .replaceAll(/(?<![\w/])docs\/(\w+\.md)/g, '[$1]($1)')
  }

  #list(lines) {
    if (lines.length > 0) this.#write(...lines, '')
  }

  /** The docstring for a cell of a table, without line breaks. */
  #doc(symbol, where, { isOwn = true } = {}) {
    if (isOwn) this.#require(symbol, where)
    const tags = this.#program.tagsOf(symbol).filter(({ name }) => name === 'throws')
    const throws = tags.map(({ text }) => `${this.#verb(symbol)} ${within(text)}.`)
    return this.#linked(cell([this.#program.docOf(symbol), ...throws].join(' ')), symbol)
  }

  #verb(symbol) {
    return this.#program.isAsync(symbol) ? 'Rejects with' : 'Throws'
  }

  /** A docstring that is absent is a problem. */
  #require(symbol, where) {
    const isAbsent = this.#program.docOf(symbol) === '' && this.#program.tagsOf(symbol).length === 0
    if (isAbsent) this.problems.push(`${where} has no docstring`)
  }

  #table(head, rows) {
    this.#write(`| ${head.join(' | ')} |`, `|${head.map(() => '---|').join('')}`)
    for (const row of rows) this.#write(`| ${row.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`)
    this.#write('')
  }

  #write(...lines) {
    this.#lines.push(...lines)
  }
}

const isWords = (definition) => /^(?:'[\w-]+'(?: \| )?)+$/.test(definition)
const isMethod = (symbol) => (symbol.flags & SymbolFlags.Method) !== 0
const code = (text) => `\`${text}\``
const cell = (text) => text.replaceAll(/\s+/g, ' ').trim()
/** An example as a block, marked as a part of a program: docs/code.test.ts checks its types. */
function example(text) {
  const [, title = '', language, body] = /^([^]*?)```(\w+)\n([^]*?)\n```$/.exec(text) ?? []
  const code = body ?? text
  const kind = language ?? (/<\/|\/>/.test(code) ? 'jsx' : 'js')
  return `${title}\`\`\`${kind} snippet\n${code}\n\`\`\``
}

/** The text of a tag as a part of a sentence. */
const within = (text) => {
  const part = text.replace(/^[-\s]+/, '').replace(/\.$/, '')
  return /^(?:The|A|An|As|One|What|Whether|True|False) /.test(part)
    ? part[0].toLowerCase() + part.slice(1)
    : part
}
const paramLine = (text) => text.replace(/^(\S+)\s*(?:-\s*)?/, '- `$1`: ').replaceAll(/\s+/g, ' ')

function main() {
  const { text, problems } = withProgram((program) => {
    const reference = new Reference(program)
    return { text: reference.text(), problems: reference.problems }
  })
  if (process.argv.includes('--check')) {
    const isCurrent = readOrEmpty(FILE) === text
    if (!isCurrent) problems.push('docs/api.md is not what the sources give: run npm run docs')
  } else writeFileSync(FILE, text)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exit(1)
}

function readOrEmpty(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // not written yet
  }
}

main()
