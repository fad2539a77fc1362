/** Commands from the runner to a process that it started, over Node's IPC channel. Every answer is a record of numbers. */
export type Numbers = Readonly<Record<string, number>>

export interface Command {
  to: string
  id: number
  command: string
  options: Readonly<Record<string, unknown>>
}

export type Answer = { id: number; numbers: Numbers } | { id: number; error: string }

type Handlers = Readonly<
  Record<string, (options: Readonly<Record<string, unknown>>) => Numbers | Promise<Numbers>>
>

const isRecord = (input: unknown): input is Record<string, unknown> =>
  typeof input === 'object' && input !== null && !Array.isArray(input)

export function readCommand(input: unknown): Command | undefined {
  if (!isRecord(input)) return undefined
  const { to, id, command, options } = input
  if (typeof to !== 'string' || typeof id !== 'number' || typeof command !== 'string') return undefined
  return isRecord(options) ? { to, id, command, options } : undefined
}

export function readAnswer(input: unknown): Answer | undefined {
  if (!isRecord(input) || typeof input['id'] !== 'number') return undefined
  const { id, numbers, error } = input
  if (typeof error === 'string') return { id, error }
  return isRecord(numbers) ? { id, numbers: onlyNumbers(numbers) } : undefined
}

/** Answers the commands that are addressed `to` this part of the process. Ends the process when the runner is gone. */
export function answerCommands(to: string, handlers: Handlers): void {
  process.on('message', (input: unknown) => {
    const message = readCommand(input)
    if (message?.to !== to) return
    void answer(message, handlers)
  })
  process.on('disconnect', () => process.exit(0))
  // The IPC channel must not keep the process running.
  process.channel?.unref()
}

async function answer(message: Command, handlers: Handlers): Promise<void> {
  const { id, command, options } = message
  try {
    const handle = handlers[command]
    if (handle === undefined) throw new Error(`no command ${command}`)
    process.send?.({ id, numbers: await handle(options) })
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

function onlyNumbers(record: Record<string, unknown>): Numbers {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  )
}
