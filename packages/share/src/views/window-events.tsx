import { useEffect, useState } from 'preact/hooks'
import { FILES_MAX, pickedFrom, pickedFromDrop } from '../model/picked.js'
import { useWords } from '../words/words.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { Notice } from './notice.js'

/** Drops, pastes and the closing of the tab, which concern the whole window. */
export function WindowEvents() {
  const model = useModel()
  const words = useWords()
  const { count } = useTexts()
  const [isOver, setOver] = useState(false)
  useChanges(model)
  const { trouble } = model
  useEffect(() => {
    const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true
    const over = (event: DragEvent): void => {
      if (!carriesFiles(event)) return
      event.preventDefault()
      setOver(true)
    }
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false)
    }
    const drop = (event: DragEvent): void => {
      setOver(false)
      const { dataTransfer } = event
      if (!carriesFiles(event) || dataTransfer === null) return
      event.preventDefault()
      pickedFromDrop(dataTransfer).then(
        (picked) => model.addFiles(picked),
        (error: unknown) => {
          console.warn(error)
          model.tell('folder')
        },
      )
    }
    const paste = (event: ClipboardEvent): void => {
      if (isField(event.target)) return
      const files = pickedFrom(event.clipboardData?.files ?? [])
      const text = event.clipboardData?.getData('text/plain') ?? ''
      if (files.length === 0 && text.trim() === '') return
      event.preventDefault()
      if (files.length > 0) model.addFiles(files)
      else if (model.screen.name === 'host') model.own.addText(text)
      else if (model.screen.name === 'guest') model.screen.session.transfer.sendText(text)
    }
    const before = (event: BeforeUnloadEvent): void => {
      if (model.isNeeded) event.preventDefault()
    }
    window.addEventListener('dragover', over)
    window.addEventListener('dragleave', leave)
    window.addEventListener('drop', drop)
    window.addEventListener('paste', paste)
    window.addEventListener('beforeunload', before)
    return () => {
      window.removeEventListener('dragover', over)
      window.removeEventListener('dragleave', leave)
      window.removeEventListener('drop', drop)
      window.removeEventListener('paste', paste)
      window.removeEventListener('beforeunload', before)
    }
  }, [model])
  return (
    <>
      {isOver && (
        <div class="dropping" aria-hidden="true">
          {words.dropNow}
        </div>
      )}
      {trouble !== undefined && (
        <div class="toast">
          <Notice
            tone="bad"
            title={words.nothingAdded}
            text={trouble === 'folder' ? words.folderUnreadable : words.tooManyFiles(count(FILES_MAX))}
            action={{ text: 'OK', onClick: () => model.tell(undefined) }}
          />
        </div>
      )}
    </>
  )
}

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement
