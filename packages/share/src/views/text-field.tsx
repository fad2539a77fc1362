import { useEffect, useRef, useState } from 'preact/hooks'
import { useWords } from '../words/words.js'

/** Where a person writes a text of several lines. */
export function TextField({
  action,
  hasFocus = false,
  onText,
}: {
  action: string
  hasFocus?: boolean
  /** @throws RangeError if the text is too long */
  onText: (text: string) => void
}) {
  const words = useWords()
  const [text, setText] = useState('')
  const [isTooLong, setTooLong] = useState(false)
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (hasFocus) field.current?.focus()
  }, [])
  const send = (): void => {
    if (text.trim() === '') return field.current?.focus()
    try {
      onText(text)
      setText('')
      setTooLong(false)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      setTooLong(true)
    }
  }
  return (
    <form
      class="text-form"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <label class="grow">
        <span class="unseen">{words.textLabel}</span>
        <textarea
          ref={field}
          name="text"
          rows={2}
          placeholder={words.textPlaceholder}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            // Enter alone is a new line.
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
            event.preventDefault()
            send()
          }}
        />
      </label>
      <button type="submit">{action}</button>
      {isTooLong && (
        <p class="why" role="alert">
          {words.textTooLong}
        </p>
      )}
    </form>
  )
}
