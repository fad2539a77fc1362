import type { ComponentChildren } from 'preact'
import { Icon } from './icons.js'

export interface Action {
  text: string
  onClick: () => void
}

/** Something that the person should know, with what they can do about it. */
export function Notice({
  tone,
  title,
  text,
  action,
  second,
  isMain = false,
  children,
}: {
  tone: 'bad' | 'mild' | 'good'
  title: string
  text: string
  action?: Action | undefined
  second?: Action | undefined
  /** It is all that the page says, so its title is the heading of the page. */
  isMain?: boolean
  children?: ComponentChildren
}) {
  return (
    <section class={`notice ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={tone === 'good' ? 'check' : 'warn'} />
      <div class="stack">
        {isMain ? <h1 class="notice-title">{title}</h1> : <h2 class="notice-title">{title}</h2>}
        <p>{text}</p>
        {children}
        {(action ?? second) && (
          <div class="row wrap">
            {action && (
              <button type="button" onClick={action.onClick}>
                {action.text}
              </button>
            )}
            {second && (
              <button type="button" class="quiet" onClick={second.onClick}>
                {second.text}
              </button>
            )}
          </div>
        )}
      </div>
    </section>
  )
}
