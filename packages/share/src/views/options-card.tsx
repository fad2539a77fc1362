import type { ShareHost } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { useWords } from '../words/words.js'
import { useTexts } from './hooks.js'

const EXPIRY_SECONDS = [600, 3600, 86_400] as const

/** Who may have the files, and until when. */
export function OptionsCard({ host }: { host: ShareHost }) {
  const words = useWords()
  // It opens by itself once. Then the person opens and closes it.
  const [isOpen] = useState(host.hasPassword || host.isOneTime || host.expiresAt !== undefined)
  return (
    <details class="card options" open={isOpen}>
      <summary>
        <h2>{words.optionsHeading}</h2>
      </summary>
      <div class="stack">
        <label class="check">
          <input
            type="checkbox"
            checked={host.isOneTime}
            onChange={(event) => host.setOneTime(event.currentTarget.checked)}
          />
          <span>
            {words.oneTimeLabel}
            <span class="hint block">{words.oneTimeHint}</span>
          </span>
        </label>
        <Expiry host={host} />
        <Password host={host} />
        <Stop host={host} />
      </div>
    </details>
  )
}

function Expiry({ host }: { host: ShareHost }) {
  const { words, time } = useTexts()
  const { expiresAt } = host
  return (
    <label class="field">
      <span>{words.expiryLabel}</span>
      <select
        value={expiresAt === undefined ? '' : 'set'}
        onChange={(event) => {
          const { value } = event.currentTarget
          if (value !== 'set') host.setExpiry(value === '' ? undefined : Date.now() + Number(value) * 1000)
        }}
      >
        <option value="">{words.expiryNever}</option>
        {expiresAt !== undefined && <option value="set">{words.expiresAt(time(expiresAt))}</option>}
        {EXPIRY_SECONDS.map((seconds) => (
          <option key={seconds} value={seconds}>
            {words.expiryChoices[seconds]}
          </option>
        ))}
      </select>
    </label>
  )
}

function Password({ host }: { host: ShareHost }) {
  const words = useWords()
  const [password, setPassword] = useState('')
  if (host.hasPassword)
    return (
      <div class="row wrap spread">
        <p>{words.passwordIsSet}</p>
        <button type="button" class="quiet" onClick={() => host.setPassword(undefined)}>
          {words.removePassword}
        </button>
      </div>
    )
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault()
        if (password === '') return
        host.setPassword(password)
        setPassword('')
      }}
    >
      <div class="row end">
        <label class="field grow">
          <span>{words.passwordLabel}</span>
          <input
            type="text"
            name="new-password"
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="quiet">
          {words.setPassword}
        </button>
      </div>
      <p class="hint">{words.passwordHint}</p>
    </form>
  )
}

function Stop({ host }: { host: ShareHost }) {
  const words = useWords()
  const [isAsking, setAsking] = useState(false)
  if (!isAsking)
    return (
      <button type="button" class="quiet danger" onClick={() => setAsking(true)}>
        {words.stop}
      </button>
    )
  return (
    <div class="stack" role="group" aria-label={words.stop}>
      <p role="alert">{words.stopSure}</p>
      <div class="row wrap">
        <button type="button" class="danger-fill" onClick={() => host.stop()}>
          {words.stopYes}
        </button>
        <button type="button" class="quiet" onClick={() => setAsking(false)}>
          {words.keep}
        </button>
      </div>
    </div>
  )
}
