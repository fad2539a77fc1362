import { useWords } from '../words/words.js'

// Commands for the person who runs the server.

export const BEYOND_LOOPBACK = 'npm start -- --host 0.0.0.0 --open'
export const WITH_TLS = `${BEYOND_LOOPBACK} --tls-cert cert.pem --tls-key key.pem`

/** What is not as good as it could be, and the command that changes it. */
export function Advice({ title, text, command }: { title?: string; text: string; command: string }) {
  const words = useWords()
  return (
    <div class="advice">
      {title !== undefined && <h3>{title}</h3>}
      <p>{text}</p>
      <code class="command" tabIndex={0}>
        {command.split(' ').map((word) => (
          <span key={word}>{word} </span>
        ))}
      </code>
      {command === WITH_TLS && <p class="hint">{words.certificateHow}</p>}
    </div>
  )
}
