import { isMap, isNode, isPair, isScalar, visit, type Document, type Pair, type YAMLParseError } from 'yaml'

export interface YamlProblem {
  /** The key that is wrong. Empty if the text cannot be read at all. */
  path: string
  line: number
  problem: string
}

export interface YamlProblems {
  /** Whether the document can be read all the same. */
  isReadable: boolean
  problems: YamlProblem[]
}

type LineOf = (offset: number) => number

/** What is wrong with the text of a YAML file, whatever the settings in it are. */
export function problemsOfYaml(document: Document, text: string, lineOf: LineOf): YamlProblems {
  const isRepeat = ({ code }: YAMLParseError): boolean => code === 'DUPLICATE_KEY'
  // Most errors of syntax follow from the first one.
  const [first] = document.errors.filter((error) => !isRepeat(error)).sort((a, b) => a.pos[0] - b.pos[0])
  if (first !== undefined)
    return { isReadable: false, problems: [syntaxProblem(first, { document, text, lineOf })] }
  const repeats = new Set(document.errors.map(({ pos }) => pos[0]))
  return { isReadable: true, problems: repeats.size === 0 ? [] : repeatedKeys(document, repeats, lineOf) }
}

function syntaxProblem(
  { pos: [at], message }: YAMLParseError,
  { document, text, lineOf }: { document: Document; text: string; lineOf: LineOf },
): YamlProblem {
  const opened = openedBefore(document, text, at)
  return opened === undefined
    ? { path: '', line: lineOf(at), problem: `is not YAML: ${message}` }
    : {
        path: '',
        line: lineOf(opened),
        problem: `is not YAML: the ${text[opened]} in this line is not closed`,
      }
}

/** Where a bracket or a quote was opened that should have been closed at an offset. */
function openedBefore(document: Document, text: string, at: number): number | undefined {
  let opened: number | undefined
  visit(document, {
    Node: (_, { range }) => {
      const [start, end] = range ?? []
      if (end === at && start !== undefined && /^[[{"']$/.test(text[start] ?? '')) opened = start
    },
  })
  return opened
}

/** The keys at these offsets, which their mapping has already. */
function repeatedKeys(document: Document, offsets: ReadonlySet<number>, lineOf: LineOf): YamlProblem[] {
  const problems: YamlProblem[] = []
  visit(document, {
    Pair: (_, pair, ancestors) => {
      const at = startOf(pair)
      const parent = ancestors.at(-1)
      if (at === undefined || !offsets.has(at) || !isMap(parent)) return
      const path = [...ancestors.filter((each) => isPair(each)), pair].map(keyOf).join('.')
      const former = startOf(parent.items.find((each) => keyOf(each) === keyOf(pair)))
      const first = former === undefined ? '' : `: the first time in line ${lineOf(former)}`
      problems.push({ path, line: lineOf(at), problem: `is given twice${first}` })
    },
  })
  return problems
}

const keyOf = ({ key }: Pair): string => (isScalar(key) ? String(key.value) : String(key))
const startOf = (pair: Pair | undefined): number | undefined =>
  isNode(pair?.key) ? pair.key.range?.[0] : undefined
