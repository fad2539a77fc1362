import type { ShareLink } from '@peerage/client/transfer'
import { problemOf } from './screen.js'
import type { Problem } from './screen.js'
import type { Connection } from './world.js'

/** What the address of the page opens. */
export type Address =
  | { opens: 'no-name' }
  | { opens: 'own'; notice: 'ownLink' | 'emptyName' }
  | { opens: 'link' | 'password'; link: ShareLink }
  | { opens: 'problem'; problem: Problem }

export function readAddress(href: string, connection: Pick<Connection, 'name' | 'readLink'>): Address {
  const { searchParams, hash } = new URL(href)
  const name = searchParams.get('peer_id')
  if (name === null) return { opens: 'no-name' }
  if (name === '') return { opens: 'own', notice: 'emptyName' }
  if (name === connection.name) return { opens: 'own', notice: 'ownLink' }
  const link: ShareLink = { name, fragment: hash.slice(1) }
  const reading = connection.readLink(link)
  switch (reading) {
    case 'ok':
      return { opens: 'link', link }
    case 'needs-password':
      return { opens: 'password', link }
    case 'bad-name':
    case 'missing':
    case 'cut':
    case 'extra':
    case 'other-version':
      return { opens: 'problem', problem: problemOf[reading] }
  }
}
