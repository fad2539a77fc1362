/** What the page says when something is not as it should be: a title, and what to do. */
export const english = {
  reload: 'Reload',
  tryAgain: 'Try again',
  startOwn: 'Send files myself',
  newShare: 'Start a new share',
  shareAgain: 'Share again, with one more person',
  enterCode: 'Enter the code again',

  starting: 'Connecting to the server…',
  serverLost: 'The connection to the server was lost. Connecting again… What is moving already goes on.',
  ownLink: {
    title: 'This is your own link',
    text: 'Open it on another device, or send it to somebody. This page is the one that they connect to.',
  },
  emptyName: {
    title: 'The link was incomplete',
    text: 'It named nobody to connect to, so this is a new share of your own. If you wanted to get files, ask for the link again.',
  },
  unreachable: {
    title: 'The server cannot be reached',
    text: 'Check your network. The page has tried for half a minute.',
  },
  refused: {
    title: 'The server did not let this page in',
    text: 'It may be full, or it may allow only some people. Try again in a moment.',
  },
  superseded: {
    title: 'This share is open in another tab',
    text: 'The other tab has taken over. Go on there, or reload to use this tab.',
  },
  serverClosed: {
    title: 'The server has ended the connection',
    text: 'Reload the page to connect again.',
  },
  notLoaded: {
    title: 'A part of the page could not be loaded',
    text: 'The server may have a newer version. Reload the page. Files that are moving go on until you do.',
  },
  noWebRtc: {
    title: 'This browser cannot connect directly',
    text: 'Direct connections are switched off or missing in it. Files go through the server, encrypted but slower.',
  },
  p2pOff: {
    title: 'This server does not set up direct connections',
    text: 'Files go through the server, encrypted but slower.',
  },
  noWayAtAll: {
    title: 'No way to send files',
    text: 'Direct connections are not possible here, and this server does not pass files on. Try another browser, or ask the operator of the server.',
  },
  badName: {
    title: 'This link is not valid',
    text: 'The name in it cannot be the name of anybody. Ask for the link again, and copy all of it.',
  },
  missingFragment: {
    title: 'The last part of the link is missing',
    text: 'The part after “#” holds the secret. Some programs cut it off. Ask for the link again, and copy all of it.',
  },
  cutFragment: {
    title: 'The link was cut short',
    text: 'Its last part is not whole. Ask for the link again, and copy all of it.',
  },
  extraFragment: {
    title: 'Something in the link does not belong to it',
    text: 'Perhaps a word or a sign came along when it was copied. Copy the link again, from “http” to its last letter and nothing else.',
  },
  otherVersion: {
    title: 'The link is of another version',
    text: 'Reload this page. If that does not help, the sender must reload theirs and send a new link.',
  },
  unexpected: {
    title: 'Something went wrong',
    text: 'Reload the page. If it happens again, tell the operator of this server.',
  },
  hostLocked: {
    title: 'Too many wrong passwords',
    text: 'The password was wrong ten times, so nobody new gets in. Those who are connected stay. Stop sharing and start anew for a new link.',
  },
  hostTaken: {
    title: 'Your share was taken',
    text: 'It is for one person only, and that person has accepted. The link lets nobody else in.',
  },
  hostStopped: { title: 'You have stopped sharing', text: 'The link is void.' },
  hostExpired: { title: 'The time of this share is over', text: 'The link is void.' },
  ends: {
    'not-found': {
      title: 'Nobody is there',
      text: 'The page that made this link is closed, or the link is old. Ask the sender to open the page again, or for a new link.',
    },
    'wrong-link': {
      title: 'This link does not fit any more',
      text: 'The sender has made a new link since, or a part of this one was changed. Copy the whole link again, or ask for the new one.',
    },
    'not-verified': {
      title: 'Not safe, so the page stopped',
      text: 'The other side could not prove that it made this link, so nothing was sent or received. Perhaps a part of the link was changed: copy the whole link again. If that does not help, somebody between you may be interfering: try another network, or ask for the link by another way.',
    },
    'wrong-password': { title: 'The password is wrong', text: 'Ask the sender for it.' },
    locked: {
      title: 'Too many wrong passwords',
      text: 'For safety, this link lets nobody new in. Ask the sender for a new link.',
    },
    'wrong-code': {
      title: 'The code is wrong or was used',
      text: 'For safety, a code works for one try only. Ask the sender for a new code.',
    },
    'taken-elsewhere': {
      title: 'Somebody else has taken it',
      text: 'This link is for one person, and another person or device has accepted. Ask the sender to share it again.',
    },
    stopped: {
      title: 'The sender has stopped sharing',
      text: 'Files that have arrived whole stay with you.',
    },
    expired: {
      title: 'The time of this link is over',
      text: 'Ask the sender for a new link.',
    },
    'peer-left': {
      title: 'The other side has left',
      text: 'They closed the page, or were gone for too long. What arrived whole stays with you.',
    },
    'self-closed': { title: 'This page is no longer connected', text: 'Reload the page.' },
    'closed-here': { title: 'You have disconnected', text: 'What arrived whole stays with you.' },
    'closed-there': {
      title: 'The other side has disconnected',
      text: 'What arrived whole stays with you.',
    },
    incompatible: {
      title: 'The two pages are of different versions',
      text: 'Both sides should reload the page.',
    },
    failed: {
      title: 'The connection did not work',
      text: 'Try again. If it fails again, try another network, or put both devices on the same Wi-Fi.',
    },
  },
  takenAfterAll: {
    title: 'You have everything',
    text: 'The link is for one person, and somebody else uses it now. What has arrived stays with you.',
  },
  searching: 'This page keeps looking for them by itself.',
  endsShort: {
    'not-found': 'Not there any more',
    'wrong-link': 'Came with an old link',
    'not-verified': 'Could not be verified, so nothing was exchanged',
    'wrong-password': 'Entered a wrong password',
    locked: 'Not let in: too many wrong passwords',
    'wrong-code': 'Entered a wrong code',
    'taken-elsewhere': 'Came too late: somebody else has taken it',
    stopped: 'Ended, because you stopped sharing',
    expired: 'Ended, because the time was over',
    'peer-left': 'Has left',
    'self-closed': 'This page is no longer connected',
    'closed-here': 'You disconnected',
    'closed-there': 'Has disconnected',
    incompatible: 'Has another version of the page',
    failed: 'The connection did not work',
  },
  fileEnds: {
    rejected: 'Declined',
    'cancelled-here': 'Cancelled by you',
    'cancelled-there': 'Cancelled by the other side',
    'peer-offline': 'Not finished: the other side is gone',
    'self-offline': 'Not finished: this page was disconnected',
    'channel-closed': 'Not finished: the connection closed',
    'too-slow': 'Given up: nothing moved for two minutes',
    'first-byte-timeout': 'Given up: nothing came',
    'taken-elsewhere': 'Somebody else has taken it',
    'file-changed': 'The file was changed while it was sent, so nothing of it was kept',
    stopped: 'The sender stopped sharing it',
  },
  /** What the side that failed was doing: it sends what is `out`, and stores what is `in`. */
  fileErrors: {
    'error-here': { out: 'Could not be read here', in: 'Could not be stored here' },
    'error-there': {
      out: 'Could not be stored on the other side',
      in: 'Could not be read on the other side',
    },
  },
  /** Why, in the words of the program that failed. A faulty or a hostile program breaks the protocol. */
  why: (detail: string): string =>
    /broke the protocol/.test(detail)
      ? 'the two sides did not understand each other. Reload both pages.'
      : detail,
}
