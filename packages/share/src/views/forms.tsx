import type { ShareLink } from '@peerage/client/transfer'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import type { ReadCode } from '../model/world.js'
import { useWords } from '../words/words.js'
import { useModel, usePart } from './hooks.js'
import { Notice } from './notice.js'

/** Where a person types the code that somebody told them. */
export function CodeForm() {
  const words = useWords()
  const model = useModel()
  const codes = usePart(() => model.world.codes(), 'codes')
  const [text, setText] = useState('')
  const [bad, setBad] = useState<Extract<ReadCode, { ok: false }>>()
  const field = useRef<HTMLInputElement>(null)
  const hint = useId()
  const list = useId()
  useEffect(() => field.current?.focus(), [])
  const complete = codes.state === 'ready' ? codes.value.complete(text).slice(0, 6) : []
  // All but the word that is being typed.
  const before = text.replace(/[^\s-]*$/, '')

  const go = (event: Event): void => {
    event.preventDefault()
    const read = codes.state === 'ready' ? codes.value.read(text) : ({ ok: false, word: undefined } as const)
    if (read.ok) return void model.join(read.code)
    setBad(read)
    field.current?.focus()
  }
  const take = (word: string): void => {
    const words = `${before}${word}`
    setText(words.split(/[\s-]+/).length < 4 ? `${words}-` : words)
    field.current?.focus()
  }
  return (
    <form class="card narrow" onSubmit={go}>
      <h1>{words.codeFormHeading}</h1>
      <p id={hint} class="soft">
        {words.codeFormLead}
      </p>
      <label class="field">
        <span>{words.codeFormLabel}</span>
        <input
          ref={field}
          class="code-field"
          type="text"
          name="code"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          value={text}
          aria-describedby={hint}
          aria-invalid={bad !== undefined}
          onInput={(event) => {
            setText(event.currentTarget.value)
            setBad(undefined)
          }}
        />
      </label>
      {complete.length > 0 && text !== '' && (
        <ul class="chips" id={list} aria-label={words.codeFormLabel}>
          {complete.map((word) => (
            <li key={word}>
              <button type="button" class="chip" lang="en" onClick={() => take(word)}>
                {word}
              </button>
            </li>
          ))}
        </ul>
      )}
      {bad && (
        <p class="why" role="alert">
          {bad.word === undefined ? words.codeFormBad : words.codeFormBadWord(bad.word)}
        </p>
      )}
      <div class="row wrap">
        <button type="submit">{words.codeFormGo}</button>
        <button type="button" class="quiet" onClick={() => model.showHost()}>
          {words.back}
        </button>
      </div>
    </form>
  )
}

export function PasswordForm({
  link,
  isWrong,
  triesLeft,
}: {
  link: ShareLink
  isWrong: boolean
  triesLeft: number | undefined
}) {
  const words = useWords()
  const model = useModel()
  const [password, setPassword] = useState('')
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  if (triesLeft === 0)
    return (
      <Notice
        tone="bad"
        isMain
        {...words.states.ends.locked}
        action={{ text: words.states.startOwn, onClick: () => model.startOwn() }}
      />
    )
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault()
        if (password !== '') void model.join(link, password)
      }}
    >
      <h1>{words.passwordHeading}</h1>
      <p class="soft">{words.passwordLead}</p>
      {isWrong && (
        <p class="why" role="alert">
          {words.passwordWrong(triesLeft)}
        </p>
      )}
      <label class="field">
        <span>{words.passwordLabel}</span>
        <input
          ref={field}
          type="password"
          name="password"
          autocomplete="off"
          value={password}
          aria-invalid={isWrong}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
      </label>
      <div class="row wrap">
        <button type="submit">{words.passwordGo}</button>
        <button type="button" class="quiet" onClick={() => model.startOwn()}>
          {words.back}
        </button>
      </div>
    </form>
  )
}
