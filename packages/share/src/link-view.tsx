import { useMemo, useRef, useState } from 'preact/hooks'
import { encode } from 'uqr'

const SELECTED = 'The link is selected. Press Ctrl+C or ⌘C to copy it.'

/** This page's name, and the link with which another browser connects to it. */
export function LinkView({ name }: { name: string }) {
  const link = new URL(`?${new URLSearchParams({ peer_id: name })}`, location.href.split(/[?#]/)[0]).href
  const field = useRef<HTMLInputElement>(null)
  const [note, setNote] = useState('')

  const copy = async (): Promise<void> => {
    field.current?.select()
    // The clipboard is available only on https: and localhost. Elsewhere the link is selected, ready to be copied.
    if (!isSecureContext) return setNote(SELECTED)
    await navigator.clipboard.writeText(link).then(
      () => setNote('Copied.'),
      () => setNote(SELECTED),
    )
  }

  return (
    <section class="card" aria-labelledby="link-title">
      <h2 id="link-title">Your link</h2>
      <p>
        Your name is <span class="name">{name}</span>. A browser that opens this link connects to this page.
      </p>
      <div class="row">
        <label class="grow">
          <span class="unseen">Link to this page</span>
          <input
            ref={field}
            id="link"
            type="text"
            readOnly
            value={link}
            onFocus={() => field.current?.select()}
          />
        </label>
        <button type="button" onClick={() => void copy()}>
          Copy
        </button>
      </div>
      <p class="hint" role="status">
        {note}
      </p>
      <QrCode text={link} />
    </section>
  )
}

function QrCode({ text }: { text: string }) {
  const { size, path } = useMemo(() => {
    const code = encode(text, { ecc: 'M', border: 2 })
    const cells = code.data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : [])))
    return { size: code.size, path: cells.join('') }
  }, [text])
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="The link as a QR code">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  )
}
