import type { ShareSession, TransferFile, TransferText } from '@peerage/client/transfer'
import type { Picked } from '../model/picked.js'
import { isTerminal } from '../model/device.js'
import { timeLeft } from '../model/format.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { Archives } from './archives.js'
import { FileList } from './file-list.js'
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
  const { words } = useTexts()
  const { transfer, state } = session
  useChanges(transfer)
  useChanges(session)
  const offered: TransferFile[] = []
  const files: TransferFile[] = []
  const texts: TransferText[] = []
  const isOver = state.name === 'ended'
  for (const item of transfer.state.items)
    if (item.kind === 'text') texts.push(item)
    else if (item.direction === 'in' && item.state.name === 'offered') {
      if (!isOver) offered.push(item)
    } else files.push(item)
  const takesFiles = session.role === 'host' || !isTerminal(session.peer.device)
  const canWrite = state.name === 'open' || state.name === 'reconnecting'
  return (
    <>
      <ConsentView session={session} />
      {offered.length > 0 && <Offer session={session} files={offered} />}
      <SumView transfer={transfer} direction="in" />
      <SumView transfer={transfer} direction="out" />
      {files.length > 0 && (
        <FileList transfer={transfer} files={files} onRemove={(some) => model.removeFiles(session, some)} />
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
