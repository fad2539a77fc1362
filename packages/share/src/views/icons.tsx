import type { FileKind } from '../model/kinds.js'

/** The lines of each icon, on a field of 24 by 24. */
const icons = {
  up: 'M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M5 19h14',
  copy: 'M9 9h10v11H9zM6 15H5V4h10v2',
  share: 'M12 15V4m0 0L8 8m4-4 4 4M6 12v8h12v-8',
  close: 'M6 6l12 12M18 6 6 18',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.5v13l10.5-6.5z',
  save: 'M12 5v11m0 0 4.5-4.5M12 16l-4.5-4.5M5 19h14',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  right: 'm9 5 7 7-7 7',
  down: 'm5 9 7 7 7-7',
  folder: 'M3.5 6.5h6l2 2.5h9v10h-17z',
  warn: 'M12 4 2.5 20h19zm0 6v5m0 2.5v.5',
  lock: 'M6 11h12v9H6zm2.5 0V8a3.5 3.5 0 0 1 7 0v3',
  picture: 'M4 5h16v14H4zm0 11 4.5-5 3.5 4 2.5-2.5L20 17M15.5 9h.01',
  video: 'M4 6h11v12H4zm11 5 5-3v8l-5-3',
  sound:
    'M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zm10-2a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z',
  document: 'M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5M9 12.5h6M9 16h6',
  archive: 'M4 5h16v4H4zm1 4h14v11H5zm5 4h4',
  program: 'M4 5h16v14H4zm3.5 4.5L10 12l-2.5 2.5M12.5 15H16',
  other: 'M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5',
} as const satisfies Record<FileKind, string> & Record<string, string>

export type IconName = keyof typeof icons

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={icons[name]} />
    </svg>
  )
}

/** A button that shows an icon, with a name for those who do not see it. */
export function IconButton({ icon, label, onClick }: { icon: IconName; label: string; onClick: () => void }) {
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} />
    </button>
  )
}
