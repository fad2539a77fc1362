import type { TimeLeft } from '../model/format.js'
import { english as forms } from './en-forms.js'
import { english as states } from './en-states.js'

/** How fast the server carries data, and how long that takes. */
export interface Rate {
  speed: string
  time: string
}

const plural = (count: number, text: string, one: string, many: string): string =>
  `${text} ${count === 1 ? one : many}`

/** The texts of the page. The type of this object is the type of every language. */
export const english = {
  language: 'en',
  ownName: 'English',
  states,
  ...forms,

  title: 'Peerage share',
  languageLabel: 'Language',
  skip: 'Skip to the content',

  hostHeading: 'Send files straight to another device',
  hostLead:
    'Choose files, then give someone your link. The files go from this browser to theirs, encrypted. Keep this page open until they have arrived.',
  dropTitle: 'Drop files here',
  dropMore: 'Drop more files here',
  dropTitleTouch: 'What do you want to send?',
  dropHint: 'You can also paste a file, a picture or a text.',
  dropNow: 'Let go to add the files',
  chooseFiles: 'Choose files',
  addFiles: 'Add files',
  chooseFolder: 'Choose a folder',
  writeText: 'Write a text',
  nothingAdded: 'Nothing was added',
  folderUnreadable:
    'A folder could not be read to its end, so nothing of it was added. Try to choose it with the button.',
  tooManyFiles: (max: string) =>
    `A share holds at most ${max} files. Pack the folder into an archive, and send that one file.`,

  linkHeading: 'Your link',
  linkLead: 'Whoever opens it sees the files and can take them.',
  linkLeadPassword: 'Whoever opens it and knows the password sees the files and can take them.',
  linkLeadOne: (hasPassword: boolean) =>
    `The first person who opens it${hasPassword ? ', knows the password' : ''} and accepts gets the files.`,
  linkTaken: 'It lets nobody else in.',
  linkLeadTexts: 'Whoever opens it sees the text.',
  linkClosed: 'It lets nobody new in. Those who are connected stay.',
  linkLeadFiles: (sum: string) => `Whoever opens it sees the files and can take them: ${sum}.`,
  linkLabel: 'Link to this share',
  copy: 'Copy',
  copied: 'Copied',
  copyByHand: 'The link is selected. Copy it with Ctrl+C or ⌘C, or press and hold it.',
  shareNative: 'Share…',
  shareTitle: 'Files for you',
  qrLabel: 'The link as a QR code',
  qrHint: 'Scan it with a phone.',
  showCode: 'Show a code to say aloud',
  codeNeedsNoPassword: 'Whoever has the code needs no password.',
  codeHeading: 'Code',
  codeMaking: 'Making a code…',
  codeLead: (address: string) =>
    `The other person opens ${address} and chooses “I have a code”. The code works once.`,
  codeBurnt: 'Somebody entered a wrong code. For safety, this code no longer works.',
  codeUsed: 'The code was used. It does not work a second time.',
  codeFailed: 'A code could not be made.',
  newCode: 'New code',
  hideCode: 'Remove the code',
  loopbackTitle: 'Other devices cannot open this link',
  loopbackText:
    'It leads to this computer only. To let other devices in, start the server with this command, and open the address that it prints:',
  plainTitle: 'This page came over plain http',
  plainText:
    'So the browser keeps received files in memory only, and you copy the link by hand. With a certificate, this command gives https:',
  certificateHow:
    'The two files come from mkcert or openssl: see “A certificate” in docs/server.md. Browsers warn about a certificate that you made yourself.',
  plainReceive:
    'This page came over plain http, so the browser can keep files only in memory, and a reload loses them.',
  plainTooBig: (size: string) =>
    `Because this page came over plain http, the browser takes ${size} at most: your device may have more room. Choose fewer files, or ask the sender for a link that begins with https.`,
  plainHow: 'If you run the server: with a certificate, this command gives https.',

  filesHeading: 'Shared files',
  filesSum: (count: number, text: string, size: string) => `${plural(count, text, 'file', 'files')}, ${size}`,
  removeFile: (name: string) => `Remove ${name} from the share`,
  removeAll: 'Remove all',
  andMore: (count: number, text: string) => `and ${plural(count, text, 'more file', 'more files')}`,
  showMore: 'Show more',
  chooseAgain: (count: number, text: string) =>
    count === 1
      ? 'The page was reloaded. Choose the same file again to go on: the browser does not let the page keep it.'
      : `The page was reloaded. Choose the same ${text} files again to go on: the browser does not let the page keep them.`,
  chooseAgainTitle: 'Choose the same files again',
  chooseAgainMark: 'choose it again',
  textsHeading: 'Texts for everyone who opens the link',
  removeText: 'Remove this text',

  optionsHeading: 'Options',
  passwordLabel: 'Password',
  passwordHint: 'The link asks for it. Tell it by another way than the link.',
  setPassword: 'Set',
  removePassword: 'Remove the password',
  passwordIsSet: 'A password is set.',
  oneTimeLabel: 'For one person only',
  oneTimeHint: 'The first person who accepts gets the files. After that, the link lets nobody else in.',
  expiryLabel: 'The link works',
  expiryNever: 'until I close this page',
  expiryChoices: { 600: 'for 10 minutes', 3600: 'for 1 hour', 86400: 'for 1 day' },
  expiresAt: (time: string) => `until ${time}`,
  stop: 'Stop sharing',
  stopSure: 'Really stop? The link will be void.',
  stopYes: 'Yes, stop',
  keep: 'Keep sharing',

  guestsHeading: 'People with your link',
  earlierFrom: (name: string) => `What ${name} sent before it loaded the page again`,
  guestsNone: 'Nobody is connected.',
  guestName: (colour: number, animal: number) => `${COLOURS[colour] ?? ''} ${ANIMALS[animal] ?? ''}`,
  youAre: (name: string) => `To the other side, you are ${name}.`,
  device: (browser: string, system: string) => `${browser} on ${system}`,
  dismiss: (name: string) => `Remove ${name} from the list`,
  dismissShort: 'Remove',
  disconnect: 'Disconnect',

  checkingOther: 'Connecting and checking that it is the right device…',
  connected: 'Connected',
  paths: { direct: 'directly', relayed: 'through a relay', server: 'through the server' },
  reconnecting: 'The connection was lost. Connecting again…',
  goneABit: 'Gone, back in a moment. Nothing is lost: it goes on by itself.',
  away: 'Has left, or is away for a moment.',
  guestLeftWithAll: 'Has left. You have all the files that you took.',
  leftWithAll: 'Has left. Everything was delivered.',
  overWithAll: 'Disconnected. Everything was delivered.',
  serverSlow: (speed: string | undefined) =>
    `There is no direct way between the two networks, so the server passes the encrypted data on${speed === undefined ? '' : `, at ${speed} at most`}.`,
  consentTitle: 'Send this through the server?',
  consentText: (size: string, rate: Rate | undefined) =>
    `There is no direct way between the two networks. ${size} can go through the server, encrypted${rate === undefined ? '. That may be slow.' : `, at ${rate.speed} at most. That takes ${rate.time}.`}`,
  consentYes: 'Yes, through the server',
  consentNo: 'No, wait for a direct way',
  consentRefused:
    'You chose to wait for a direct way. If both devices use the same Wi-Fi, there usually is one.',
  consentAgain: 'Use the server after all',

  guestHeading: 'Files for you',
  guestHeadingText: 'A text for you',
  from: (name: string) => `From ${name}`,
  waitingForOffer: 'Connected. Waiting until the other person adds files…',
  offerHeading: (count: number, text: string, size: string) =>
    `${plural(count, text, 'file', 'files')}, ${size}`,
  offerFrom: (name: string, files: string) => `${name} offers you ${files}`,
  selectAll: 'All files',
  selectFile: (name: string) => `Take ${name}`,
  openFolder: (name: string) => `Open the folder ${name}`,
  closeFolder: (name: string) => `Close the folder ${name}`,
  folderFiles: (count: number, text: string) => plural(count, text, 'file', 'files'),
  accept: (count: number, text: string, size: string) =>
    `Get ${plural(count, text, 'file', 'files')} (${size})`,
  acceptNone: 'Choose at least one file',
  decline: 'No, thanks',
  forOnePerson: 'This link is for one person. If you get the files, it lets nobody else in.',
  guestExpires: (time: string) => `The link works until ${time}.`,
  offerMissing: (count: number, text: string) =>
    `The sender has loaded the page again and must choose ${plural(count, text, 'file', 'files')} again before ${count === 1 ? 'it comes' : 'they come'}. You can accept already.`,
  programWarning: (name: string, more: number, text: string) =>
    `${name}${more === 0 ? ' is a program. It' : ` and ${plural(more, text, 'more file', 'more files')} are programs. They`} can harm your device. Open ${more === 0 ? 'it' : 'them'} only if you trust the sender.`,
  saveHeading: 'Where the files go',
  ways: {
    'own-storage': {
      title: 'Keep in this browser, then save',
      text: 'Continues even if you reload this page. When a file is complete, you save it.',
    },
    'picked-file': {
      title: 'Choose a place for the file',
      text: 'Written there as it arrives. Continues after a lost network, but a reload of this page starts it anew.',
    },
    'picked-folder': {
      title: 'Choose a folder',
      text: 'Written there as it arrives, with its folders. Continues after a lost network, but a reload of this page starts it anew.',
    },
    downloads: {
      title: 'As a download',
      text: 'Saved as it arrives. Continues after a lost network, but a reload of this page starts it anew.',
    },
    'zip-download': {
      title: 'As one zip file',
      text: 'Saved as it arrives, with its folders. Continues after a lost network, but a reload of this page starts it anew.',
    },
    'picked-zip': {
      title: 'As one zip file, at a place that you choose',
      text: 'Written there as it arrives, with its folders. Continues after a lost network, but a reload of this page starts it anew.',
    },
    memory: {
      title: 'In memory, then save',
      text: 'Files stay in memory until you save them. A reload of this page loses them.',
    },
    'memory-zip': {
      title: 'In memory, then save one zip file',
      text: 'Files stay in memory until you save them. A reload of this page loses them.',
    },
  },
  wayWithoutFolders: ' The folders are left out.',
  otherPlaces: 'Other places',
  wayLimit: (size: string) => ` At most ${size}.`,
  tooBigForWay: (size: string) =>
    `The chosen files are larger than the ${size} that fit this way. Choose fewer files or another way.`,
  noWayFits: (size: string) =>
    `This browser has room for ${size} at most. Choose fewer files, or make room on this device.`,
  placeNotChosen: 'No place was chosen, so nothing was accepted.',

  sumIn: (_done: number, all: number, doneText: string, allText: string) =>
    all === 1 ? 'Receiving 1 file' : `Receiving: ${doneText} of ${allText} files done`,
  sumOut: (_done: number, all: number, doneText: string, allText: string) =>
    all === 1 ? 'Sending 1 file' : `Sending: ${doneText} of ${allText} files done`,
  doneIn: (count: number, text: string) => `${plural(count, text, 'file has', 'files have')} arrived whole`,
  doneOut: (count: number, text: string) => `${plural(count, text, 'file was', 'files were')} delivered`,
  speed: (size: string) => `${size}/s`,
  left: ({ unit, count }: TimeLeft) => `${count} ${count === 1 ? unit.slice(0, -1) : unit} left`,
  takes: ({ unit, count }: TimeLeft) => `about ${count} ${count === 1 ? unit.slice(0, -1) : unit}`,
  progressLabel: 'Progress',
  afterAll: (count: number, text: string) =>
    count === 1 ? 'Get it after all' : `Get ${text} files after all`,
  pauseAll: 'Pause',
  resumeAll: 'Continue',
  cancelAll: 'Cancel all',
  pauseFile: (name: string) => `Pause ${name}`,
  resumeFile: (name: string) => `Continue ${name}`,
  cancelFile: (name: string) => `Cancel ${name}`,
  clearDone: 'Clear the list',
  saveFile: 'Save',
  saveFileNamed: (name: string) => `Save ${name}`,
  saveAll: 'Save all',
  hadHeading: (count: number, text: string) => `You have had ${plural(count, text, 'file', 'files')} before`,
  hadInDownloads: 'Saved in your downloads',
  hadAgain: (count: number): string => (count === 1 ? 'Get it again' : 'Get them again'),
  keptHeading: (count: number, text: string) =>
    `This browser has kept ${plural(count, text, 'file', 'files')} for you`,
  keptLead: 'They arrived whole. Save them: they are removed a week after the last file came.',
  keptRemove: 'Remove them from this browser',
  keptRemoveSure: 'Really remove them? What you have not saved is lost.',
  keptRemoveYes: 'Yes, remove',
  keptStay: 'Keep them',
  archiveReady: 'The files are in one zip archive.',
  archiveFailed: 'The zip archive could not be completed.',
  archiveName: 'files.zip',
  reply: 'Send a text or files',
  replyText: 'Send a text',
  terminalTakesTexts: 'The other side shares from a terminal, which takes texts and no files.',
  saved: 'Saved',
  savedToDownloads: (name: string) => `Saved as ${name}, in your downloads`,
  savedIn: (where: string) => `Saved in ${where}`,
  savedInZip: 'In the zip file',
  fileStates: {
    offeredOut: 'Waiting for their answer',
    offeredIn: 'Offered',
    waiting: 'Waiting for its turn',
    moving: 'On its way',
    pausedHere: 'Paused by you',
    pausedThere: 'Paused by the other side',
    missingHere: 'Waits until you choose the file again',
    missingThere: 'Waits until the other person chooses the file again',
    checking: 'Checking…',
    completeIn: 'Arrived whole',
    completeOut: 'Delivered',
  },
  notDone: (count: number, text: string) => `${plural(count, text, 'file', 'files')} did not arrive`,

  textLabel: 'Text',
  textPlaceholder: 'Write a text',
  sendText: 'Send',
  addText: 'Add',
  textTooLong: 'The text is too long. Send it as a file.',
  sendFilesBack: 'Send files',
  you: 'You',
  they: 'They',
  delivered: 'Delivered',
  notYetDelivered: 'On its way',
  textsLabel: 'Texts',
  filesLabel: 'Files',

  details: 'Details',
  detailPath: 'Way of the data',
  detailName: 'Name on the server',
  detailDevice: 'Device',
  privateHeading: 'Is this private?',
  privateText: [
    'Files and texts are encrypted between the two browsers. The link holds a secret, in the part after “#”, which browsers do not send to a server. With it, both browsers check that nobody sits between them.',
    'Whoever has the link can get the files. So pass it on by a way that you trust, set a password, or use a code.',
    'It does not protect you from the server itself: this page comes from there, and the server could send a changed page. If you do not trust it, use the terminal program, or a server of your own.',
  ],
  terminalHint: 'In a terminal, the command “peerage send” does the same.',
}

const COLOURS = ['Red', 'Orange', 'Golden', 'Green', 'Teal', 'Blue', 'Purple', 'Pink']
const ANIMALS = [
  'Otter Fox Heron Badger Dolphin Panda Koala Owl',
  'Rabbit Tiger Whale Penguin Turtle Squirrel Falcon Deer',
  'Hedgehog Lynx Seal Swan Crane Camel Zebra Giraffe',
  'Beaver Raven Gecko Bison Lion Parrot Hamster Elephant',
].flatMap((line) => line.split(' '))
