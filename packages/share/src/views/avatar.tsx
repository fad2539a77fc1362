import { friendlyName } from '../model/friendly.js'
import { useTexts } from './hooks.js'

/** A coloured mark for a peer, in the colour of its friendly name. */
export function Avatar({ name }: { name: string }) {
  const { words } = useTexts()
  const { colour, animal } = friendlyName(name)
  // The animal is the last word of the name in English, and follows the colour without a space in Chinese.
  const both = words.guestName(colour, animal)
  const animalName = both.slice(words.guestName(colour, -1).trim().length).trim()
  return (
    <span class={`avatar tint-${colour}`} aria-hidden="true">
      {Array.from(animalName)[0]}
    </span>
  )
}
