import type { TransferText } from '@peerage/client/transfer'
import { useTexts } from './hooks.js'
import { TextPieces } from './text-pieces.js'

const TEXTS_SHOWN = 100

/** The texts of both sides. */
export function TextList({ texts }: { texts: readonly TransferText[] }) {
  const { words } = useTexts()
  return (
    <ol class="texts" aria-live="polite" aria-label={words.textsLabel}>
      {texts.slice(-TEXTS_SHOWN).map(({ key, text, direction, isDelivered, at }) => (
        <li key={key} class={direction === 'out' ? 'mine' : 'theirs'}>
          <span class="unseen">{direction === 'out' ? words.you : words.they}: </span>
          <span class="text">
            <TextPieces text={text} />
          </span>
          <span class="text-note">
            {new Intl.DateTimeFormat(words.language, { timeStyle: 'short' }).format(at)}
            {direction === 'out' && ` · ${isDelivered ? words.delivered : words.notYetDelivered}`}
          </span>
        </li>
      ))}
    </ol>
  )
}
