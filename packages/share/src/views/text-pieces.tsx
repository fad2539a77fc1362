import { textPieces } from '../model/text-links.js'

/** A text of somebody else, in which only web addresses are links. */
export function TextPieces({ text }: { text: string }) {
  return (
    <>
      {textPieces(text).map((piece, index) =>
        piece.href === undefined ? (
          piece.text
        ) : (
          <a key={index} href={piece.href} target="_blank" rel="noopener noreferrer">
            {piece.text}
          </a>
        ),
      )}
    </>
  )
}
