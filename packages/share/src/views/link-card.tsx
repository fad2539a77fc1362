import type { ShareHost } from '@peerage/client/transfer'
import { useRef, useState } from 'preact/hooks'
import { useModel, usePart, useTexts } from './hooks.js'
import { useWords } from '../words/words.js'
import { Advice, BEYOND_LOOPBACK, WITH_TLS } from './advice.js'
import { CodeView } from './code-view.js'
import { Icon } from './icons.js'

/** The link, and the other ways to tell it to somebody. */
export function LinkCard({ host }: { host: ShareHost }) {
  const { words, count, size } = useTexts()
  const model = useModel()
  const { features } = model.world
  const link = host.link(model.base)
  if (host.state.name !== 'open')
    return (
      <section class="card link" aria-labelledby="link-title">
        <div>
          <h2 id="link-title">{words.linkHeading}</h2>
          <p class="soft">{host.state.name === 'taken' ? words.linkTaken : words.linkClosed}</p>
        </div>
      </section>
    )
  const { files } = host
  const bytes = files.reduce((total, file) => total + file.size, 0)
  const sum = words.filesSum(files.length, count(files.length), size(bytes))
  const lead = host.hasPassword
    ? words.linkLeadPassword
    : files.length === 0
      ? model.own.texts.all.length > 0
        ? words.linkLeadTexts
        : words.linkLead
      : words.linkLeadFiles(sum)
  return (
    <section class="card link" aria-labelledby="link-title">
      <div>
        <h2 id="link-title">{words.linkHeading}</h2>
        <p class="soft">{host.isOneTime ? words.linkLeadOne(host.hasPassword) : lead}</p>
      </div>
      <CopyField link={link} />
      {features.isLoopback ? (
        <Advice title={words.loopbackTitle} text={words.loopbackText} command={BEYOND_LOOPBACK} />
      ) : (
        <Qr link={link} />
      )}
      <CodeView host={host} />
      {!features.isSecure && <Advice title={words.plainTitle} text={words.plainText} command={WITH_TLS} />}
    </section>
  )
}

function CopyField({ link }: { link: string }) {
  const words = useWords()
  const { features } = useModel().world
  const field = useRef<HTMLInputElement>(null)
  const [note, setNote] = useState('')

  const copy = async (): Promise<void> => {
    field.current?.select()
    // Browsers have the clipboard only on https and on loopback. Elsewhere the link is selected, ready to be copied.
    if (!features.isSecure) return setNote(words.copyByHand)
    await navigator.clipboard.writeText(link).then(
      () => setNote(words.copied),
      () => setNote(words.copyByHand),
    )
  }
  const share = (): void => {
    // It rejects if the person closes the menu.
    navigator.share({ title: words.shareTitle, url: link }).catch((error: unknown) => console.info(error))
  }
  return (
    <div class="stack">
      <label>
        <span class="unseen">{words.linkLabel}</span>
        <input
          ref={field}
          id="link"
          type="text"
          readOnly
          value={link}
          onFocus={(event) => event.currentTarget.select()}
        />
      </label>
      <div class="row wrap">
        <button type="button" onClick={() => void copy()}>
          <Icon name="copy" />
          {words.copy}
        </button>
        {features.canShare && (
          <button type="button" class="quiet" onClick={share}>
            <Icon name="share" />
            {words.shareNative}
          </button>
        )}
        <p class="hint" role="status">
          {note}
        </p>
      </div>
    </div>
  )
}

function Qr({ link }: { link: string }) {
  const words = useWords()
  const { world } = useModel()
  const code = usePart(() => world.qr(link), link)
  if (code.state !== 'ready') return null
  const { size, path } = code.value
  return (
    <figure class="qr">
      <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={words.qrLabel}>
        <rect width={size} height={size} fill="#fff" />
        <path d={path} fill="#000" />
      </svg>
      <figcaption class="hint">{words.qrHint}</figcaption>
    </figure>
  )
}
