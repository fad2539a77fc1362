import { pickedFrom } from '../model/picked.js'
import type { Picked } from '../model/picked.js'
import { useWords } from '../words/words.js'
import { useModel } from './hooks.js'
import { Icon } from './icons.js'
import type { IconName } from './icons.js'

/** The buttons with which a person picks files or a folder. */
export function PickButtons({
  isQuiet = false,
  text,
  onPick,
}: {
  isQuiet?: boolean
  /** Of the button for files. */
  text?: string
  onPick: (picked: Picked[]) => void
}) {
  const words = useWords()
  const { canPickFolder } = useModel().world.features
  return (
    <div class="row wrap">
      <Pick icon="up" text={text ?? words.chooseFiles} isQuiet={isQuiet} isFolder={false} onPick={onPick} />
      {canPickFolder && <Pick icon="folder" text={words.chooseFolder} isQuiet isFolder onPick={onPick} />}
    </div>
  )
}

function Pick({
  icon,
  text,
  isQuiet,
  isFolder,
  onPick,
}: {
  icon: IconName
  text: string
  isQuiet: boolean
  isFolder: boolean
  onPick: (picked: Picked[]) => void
}) {
  return (
    <label class={isQuiet ? 'pick quiet' : 'pick'}>
      <Icon name={icon} />
      <span>{text}</span>
      <input
        type="file"
        multiple
        data-pick={isFolder ? 'folder' : 'files'}
        ref={(field) => {
          if (isFolder) field?.setAttribute('webkitdirectory', '')
        }}
        onChange={(event) => {
          onPick(pickedFrom(event.currentTarget.files ?? []))
          // So that the same file can be picked again.
          event.currentTarget.value = ''
        }}
      />
    </label>
  )
}
