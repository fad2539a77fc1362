// The views of sessions: most of the page. Nobody sees them before the first guest, so they are loaded later.
export { GuestCards } from './guest-cards.js'
export { GuestView } from './guest-view.js'
