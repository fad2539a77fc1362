import type { ShareSession, TransferFile, TransferText } from '@peerage/client/transfer'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Picked } from '../model/picked.js'
import { isTerminal } from '../model/device.js'
import { timeLeft } from '../model/format.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { Archives } from './archives.js'
import { FileList } from './file-list.js'
import { HadView } from './had-view.js'
import { Notice } from './notice.js'
import { Offer } from './offer.js'
import { PickButtons } from './pick.js'
import { SumView } from './sum-view.js'
import { TextField } from './text-field.js'
import { TextList } from './text-list.js'

/** The files and texts between this page and one other. */
export function TransferView({
  session,
  onPick,
}: {
  session: ShareSession
  onPick: (picked: Picked[]) => void
}) {
  const model = useModel()
  const { words, count } = useTexts()
  const { transfer, state } = session
  useChanges(transfer)
  useChanges(session)
  // Files that the person did not want at first.
  const [revived, setRevived] = useState<ReadonlySet<string>>(new Set())
  const progress = useRef<HTMLDivElement>(null)
  const isAnswered = useRef(false)
  useEffect(() => {
    // The button of the answer is gone, so the keyboard goes on at what follows from it.
    if (!isAnswered.current || progress.current === null) return
    isAnswered.current = false
    progress.current.focus()
  })
  const { delivered } = model.own
  const offered: TransferFile[] = []
  const had: TransferFile[] = []
  const files: TransferFile[] = []
  const texts: TransferText[] = []
  const isOver = state.name === 'ended'
  for (const one of transfer.state.items) {
    const item = delivered.shown(session, one)
    if (item.kind === 'text') texts.push(item)
    else if (item.direction === 'in' && item.state.name === 'offered') {
      const isHad = !revived.has(item.key) && model.received.hadIn(session, item) !== undefined
      if (isHad) had.push(item)
      else if (!isOver) offered.push(item)
    } else if (!isOver && revived.has(item.key) && isUnwanted(item)) offered.push(item)
    else files.push(item)
  }
  const unwanted = isOver ? [] : files.filter(isUnwanted)
  const takesFiles = session.role === 'host' || !isTerminal(session.peer.device)
  const canWrite = state.name === 'open' || state.name === 'reconnecting'
  return (
    <>
      <ConsentView session={session} />
      {offered.length > 0 && (
        <Offer
          session={session}
          files={offered}
          hasFocus={revived.size > 0}
          onAnswer={() => {
            setRevived(new Set())
            isAnswered.current = true
          }}
        />
      )}
      {had.length > 0 && (
        <HadView
          session={session}
          files={had}
          onAgain={isOver ? undefined : (keys) => setRevived(new Set([...revived, ...keys]))}
        />
      )}
      {files.length > 0 && (
        <div ref={progress} class="stack" role="group" tabIndex={-1} aria-label={words.progressLabel}>
          <SumView transfer={transfer} direction="in" />
          <SumView transfer={transfer} direction="out" before={delivered.count(session)} />
          <FileList transfer={transfer} files={files} onRemove={(some) => model.removeFiles(session, some)} />
        </div>
      )}
      {unwanted.length > 0 && (
        <button
          type="button"
          class="quiet"
          onClick={() => setRevived(new Set(unwanted.map(({ key }) => key)))}
        >
          {words.afterAll(unwanted.length, count(unwanted.length))}
        </button>
      )}
      {texts.length > 0 && <TextList texts={texts} />}
      <Archives session={session} />
      {canWrite && (
        <details class="details" open={texts.length > 0}>
          <summary>{takesFiles ? words.reply : words.replyText}</summary>
          <div class="stack">
            <TextField action={words.sendText} onText={(text) => transfer.sendText(text)} />
            {takesFiles ? (
              <PickButtons isQuiet text={words.sendFilesBack} onPick={onPick} />
            ) : (
              <p class="hint">{words.terminalTakesTexts}</p>
            )}
          </div>
        </details>
      )}
    </>
  )
}

/** Whether this side did not want the file. The other side still has it. */
const isUnwanted = ({ direction, state }: TransferFile): boolean =>
  direction === 'in' &&
  state.name === 'ended' &&
  (state.reason === 'rejected' || state.reason === 'cancelled-here')

/** Asks before much data goes through the server. */
function ConsentView({ session }: { session: ShareSession }) {
  const { words, size } = useTexts()
  const { consent, serverBytesPerSecond, transfer, state } = session
  if (state.name === 'ended') return null
  if (consent === 'refused')
    return (
      <div class="row wrap spread">
        <p class="soft">{words.consentRefused}</p>
        <button type="button" class="quiet" onClick={() => session.answerConsent(true)}>
          {words.consentAgain}
        </button>
      </div>
    )
  if (consent !== 'asked' || serverBytesPerSecond === undefined) return null
  const bytes = transfer.state.in.bytes - transfer.state.in.bytesDone
  const rate = Number.isFinite(serverBytesPerSecond)
    ? {
        speed: words.speed(size(serverBytesPerSecond)),
        time: words.takes(timeLeft(bytes / serverBytesPerSecond)),
      }
    : undefined
  return (
    <Notice
      tone="mild"
      title={words.consentTitle}
      text={words.consentText(size(bytes), rate)}
      action={{ text: words.consentYes, onClick: () => session.answerConsent(true) }}
      second={{ text: words.consentNo, onClick: () => session.answerConsent(false) }}
    />
  )
}
