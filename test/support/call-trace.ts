import { Session } from 'node:inspector'

/** A method in a source file, such as `{ file: 'packages/core/src/routing/router.ts', method: 'Router.route' }`. */
export interface Place {
  file: string
  /** `Class.method` or `Class.#method`. */
  method: string
}

/** The calls of the given methods. */
export interface CallTrace {
  /** The `Class.method` of each call since `clear`, in order. */
  readonly calls: readonly string[]
  clear(): void
  stop(): void
}

const CALLS = '__peerageCalls'

/**
 * Records each call of some methods of this process, in order. It patches nothing: V8's debugger sets a breakpoint at the
 * first statement of each method. Its condition records the call and is false, so the process never pauses.
 * @throws Error if a file is not loaded, or does not have the method
 */
export async function traceCalls(places: readonly Place[]): Promise<CallTrace> {
  const calls: string[] = []
  Reflect.set(globalThis, CALLS, calls)
  const session = new Session()
  session.connect()
  const scripts: { url: string; id: string }[] = []
  session.on('Debugger.scriptParsed', ({ params }) => scripts.push({ url: params.url, id: params.scriptId }))
  const post = <T>(method: string, params: object = {}): Promise<T> =>
    new Promise((resolve, reject) =>
      session.post(method, params, (error, result) => {
        if (error) reject(new Error(`${method}: ${error.message}`))
        else resolve(result as T)
      }),
    )
  await post('Debugger.enable')
  for (const { file, method } of places) {
    const script = scripts.findLast(({ url }) => url.endsWith(`/${file}`))
    if (script === undefined) throw new Error(`${file} is not loaded, so ${method} cannot run`)
    const { scriptSource } = await post<{ scriptSource: string }>('Debugger.getScriptSource', {
      scriptId: script.id,
    })
    const start = bodyOf(scriptSource, method)
    if (start === undefined) throw new Error(`${file} has no method ${method}`)
    const { locations } = await post<{ locations: object[] }>('Debugger.getPossibleBreakpoints', {
      start: { scriptId: script.id, ...start },
    })
    const condition = `(globalThis.${CALLS}.push(${JSON.stringify(method)}), false)`
    await post('Debugger.setBreakpoint', { location: locations[0], condition })
  }
  return {
    calls,
    clear: () => void calls.splice(0),
    stop: () => session.disconnect(),
  }
}

/** The start of a method's body in the compiled source. */
function bodyOf(source: string, method: string): { lineNumber: number; columnNumber: number } | undefined {
  const [type = '', name = ''] = method.split('.')
  const lines = source.split('\n')
  const first = lines.findIndex((line) => new RegExp(`\\bclass ${type}\\b`).test(line))
  if (first < 0) return undefined
  const head = new RegExp(`^\\s+(?:async )?${name}\\(.*\\{`)
  for (let line = first; line < lines.length; line++) {
    const text = lines[line] ?? ''
    if (line > first && /^(?:export )?(?:abstract )?class /.test(text)) return undefined
    if (head.test(text)) return { lineNumber: line, columnNumber: text.lastIndexOf('{') + 1 }
  }
  return undefined
}
