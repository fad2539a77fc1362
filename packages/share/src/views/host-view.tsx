import type { ShareHost } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { useWords } from '../words/words.js'
import { Guests } from './guests.js'
import { useChanges, useModel } from './hooks.js'
import { LinkCard } from './link-card.js'
import { Notice } from './notice.js'
import { OptionsCard } from './options-card.js'
import { PickButtons } from './pick.js'
import { SharedFiles } from './shared-files.js'
import { TextField } from './text-field.js'

/** What the person sees who shares. */
export function HostView({ host, notice }: { host: ShareHost; notice: 'ownLink' | 'emptyName' | undefined }) {
  const words = useWords()
  const model = useModel()
  useChanges(host)
  const { states } = words
  if (host.state.name === 'stopped')
    return (
      <>
        <Notice
          tone="good"
          isMain
          {...(host.state.why === 'expired' ? states.hostExpired : states.hostStopped)}
          action={{ text: states.newShare, onClick: () => model.showHost() }}
        />
        {host.sessions.length > 0 && <Guests host={host} />}
      </>
    )
  const isEmpty = host.files.length === 0 && model.own.texts.all.length === 0
  return (
    <>
      <div class={isEmpty ? 'intro' : 'intro done'}>
        <h1>{words.hostHeading}</h1>
        <p class="lead">{words.hostLead}</p>
      </div>
      {notice && <Notice tone="mild" {...states[notice]} />}
      {host.state.name === 'locked' && <Notice tone="bad" {...states.hostLocked} />}
      {host.state.name === 'taken' && (
        <Notice
          tone="good"
          {...states.hostTaken}
          action={{ text: states.shareAgain, onClick: () => model.own.shareAgain() }}
        />
      )}
      <div class="columns">
        <div class="column">
          <DropZone isEmpty={isEmpty} />
          {!isEmpty && <SharedFiles host={host} />}
          <Guests host={host} />
        </div>
        <div class="column aside">
          <LinkCard host={host} />
          <OptionsCard host={host} />
        </div>
      </div>
    </>
  )
}

function DropZone({ isEmpty }: { isEmpty: boolean }) {
  const words = useWords()
  const model = useModel()
  const [isWriting, setWriting] = useState(false)
  const { isTouch } = model.world.features
  return (
    <section class={isEmpty ? 'card drop' : 'card drop small'} aria-labelledby="drop-title">
      <h2 id="drop-title" class={isTouch && !isEmpty ? 'unseen' : undefined}>
        {isTouch ? words.dropTitleTouch : isEmpty ? words.dropTitle : words.dropMore}
      </h2>
      <div class="row wrap">
        <PickButtons
          isQuiet={!isEmpty}
          {...(isEmpty ? {} : { text: words.addFiles })}
          onPick={(picked) => model.addFiles(picked)}
        />
        {!isWriting && (
          <button type="button" class="quiet" onClick={() => setWriting(true)}>
            {words.writeText}
          </button>
        )}
      </div>
      {isEmpty && !isTouch && !isWriting && <p class="hint">{words.dropHint}</p>}
      {isWriting && (
        <TextField
          hasFocus
          action={words.addText}
          onText={(text) => {
            model.own.addText(text)
            setWriting(false)
          }}
        />
      )}
    </section>
  )
}
