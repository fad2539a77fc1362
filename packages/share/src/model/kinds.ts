/** The kinds of files that people tell apart at a glance. */
export type FileKind = 'picture' | 'video' | 'sound' | 'document' | 'archive' | 'program' | 'other'

const BY_ENDING: Readonly<Record<string, FileKind>> = {
  ...endings('picture', 'avif bmp gif heic jpeg jpg png svg tif tiff webp'),
  ...endings('video', 'avi m4v mkv mov mp4 webm'),
  ...endings('sound', 'aac flac m4a mp3 ogg opus wav'),
  ...endings('document', 'csv doc docx epub md odp ods odt pdf ppt pptx rtf txt xls xlsx'),
  ...endings('archive', '7z bz2 gz rar tar xz zip zst'),
  // People look twice before they open these.
  ...endings('program', 'apk app bat cmd com deb dmg exe jar js lnk msi pkg ps1 rpm scr sh vbs'),
}

function endings(kind: FileKind, list: string): Record<string, FileKind> {
  return Object.fromEntries(list.split(' ').map((ending) => [ending, kind]))
}

/** The kind by the ending of the name, because that decides what a system does with the file; else by the media type. */
export function kindOf(path: string, type: string): FileKind {
  const ending = /\.([^./]{1,10})$/.exec(path)?.[1]?.toLowerCase()
  if (ending !== undefined && Object.hasOwn(BY_ENDING, ending)) return BY_ENDING[ending] ?? 'other'
  if (type.startsWith('image/')) return 'picture'
  if (type.startsWith('video/')) return 'video'
  if (type.startsWith('audio/')) return 'sound'
  return type.startsWith('text/') || type === 'application/pdf' ? 'document' : 'other'
}

/**
 * A name as it is shown: control characters, and characters that reverse the direction of writing, are replaced. With
 * such a character, a name that ends in `gnp.exe` can look as if it ended in `exe.png`.
 */
export function shownName(name: string): string {
  // The two joiners stay, because emoji and some languages need them.
  return name.replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')
}
