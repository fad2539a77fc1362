import type { SessionEnd } from '@peerage/client/transfer'
import { FakeHost, FakeSession, FakeTransfer } from './fake-share.js'
import type { Demo } from './fake-world.js'
import {
  LINK,
  file,
  text,
  moving,
  waiting,
  paused,
  complete,
  saved,
  blob,
  failed,
  photos,
  shared,
  offer,
  many,
  guest,
  ended,
  failing,
  receiving,
} from './pieces.js'

// Every state of the page. `test/e2e/page-states.test.ts` shows each one.

const hostStates: Record<string, () => Demo> = {
  'host-empty': () => ({}),
  'host-phone': () => ({ features: { isTouch: true, canPickFolder: false } }),
  'host-loopback': () => ({ features: { isLoopback: true, canShare: false } }),
  'host-plain-http': () => ({ features: { isSecure: false, canShare: false } }),
  'host-own-link': () => ({ query: '?peer_id=f2h8-own' }),
  'host-empty-name': () => ({ query: '?peer_id=' }),
  'host-files': () => ({
    host: new FakeHost({ files: shared(photos) }),
    texts: ['The door code is 4711.\nSee https://example.org/map for the way.'],
  }),
  'host-many-files': () => ({
    host: new FakeHost({ files: shared(many.map((_, i) => `archive/photo-${i}.jpg`)) }),
  }),
  'host-reloaded': () => ({ host: new FakeHost({ files: shared(photos, false) }) }),
  'host-reloaded-guest': () => ({
    host: new FakeHost({
      files: shared(photos, false),
      sessions: [
        guest('zoe', 'Chrome on Windows', [
          file(
            'beach.jpg',
            4_200_000,
            { name: 'paused', here: true, there: false, isMissing: true },
            'out',
            0.4,
          ),
        ]),
      ],
    }),
  }),
  'host-code-making': () => ({ host: new FakeHost({ code: { name: 'making' } }) }),
  'host-code': () => ({ host: new FakeHost({ code: { name: 'ready', code: '17-crane-otter-tulip' } }) }),
  'host-code-password': () => ({
    host: new FakeHost({ hasPassword: true, code: { name: 'ready', code: '17-crane-otter-tulip' } }),
  }),
  'host-code-burnt': () => ({ host: new FakeHost({ code: { name: 'burnt' } }) }),
  'host-code-used': () => ({ host: new FakeHost({ code: { name: 'used' } }) }),
  'host-code-failed': () => ({ host: new FakeHost({ code: { name: 'failed', detail: '' } }) }),
  'host-options': () => ({
    host: new FakeHost({
      files: shared(photos),
      hasPassword: true,
      isOneTime: true,
      expiresAt: Date.UTC(2026, 11, 1, 9),
    }),
  }),
  'host-locked': () => ({
    host: new FakeHost({ files: shared(photos), hasPassword: true, state: { name: 'locked' } }),
  }),
  'host-one-person': () => ({
    host: new FakeHost({ files: shared(photos), hasPassword: true, isOneTime: true }),
  }),
  'host-taken': () => ({
    host: new FakeHost({
      files: shared(photos),
      isOneTime: true,
      state: { name: 'taken' },
      sessions: [
        guest('zoe', 'Chrome on Windows', [file('beach.jpg', 4_200_000, moving, 'out', 0.4)], 3_000_000),
      ],
    }),
  }),
  'host-stopped': () => ({ host: new FakeHost({ state: { name: 'stopped', why: 'stopped' } }) }),
  'host-expired': () => ({ host: new FakeHost({ state: { name: 'stopped', why: 'expired' } }) }),
  'host-guests': () => ({
    host: new FakeHost({
      files: shared(photos),
      sessions: [
        guest(
          'q8x2',
          'Firefox on Android',
          [
            file('beach.jpg', 4_200_000, complete, 'out'),
            file('holiday/waves.mp4', 812_000_000, moving, 'out', 0.42),
            file('sunset.heic', 3_100_000, waiting, 'out'),
            text('1', 'out', 'Hello! The videos take a while.'),
            text('2', 'in', 'No hurry.\nHere is the map: https://example.org/map?x=1 (thanks)'),
            text('3', 'out', 'Great', false),
          ],
          11_400_000,
        ),
        guest('m1n7', 'Chrome on Windows', [file('beach.jpg', 4_200_000, { name: 'offered' }, 'out')]),
        guest('t5r3', 'Safari on iPhone', [file('thanks.png', 240_000)]),
        new FakeSession({
          role: 'host',
          name: 'away-one',
          device: '',
          state: { name: 'reconnecting', isPeerAway: true },
        }),
        new FakeSession({
          role: 'host',
          name: 'happy-one',
          device: 'Firefox on Linux',
          state: { name: 'reconnecting', isPeerAway: true },
          transfer: new FakeTransfer([file('beach.jpg', 4_200_000, complete, 'out')]),
        }),
        new FakeSession({
          role: 'host',
          name: 'gone-one',
          device: 'Edge on Windows',
          state: { name: 'ended', why: 'peer-left', detail: '' },
          transfer: new FakeTransfer([file('beach.jpg', 4_200_000, failed('peer-offline'), 'out')]),
        }),
      ],
    }),
  }),
}

const guestStates: Record<string, () => Demo> = {
  'guest-connecting': () => ({ ...LINK, session: new FakeSession({ state: { name: 'connecting' } }) }),
  'guest-verified': () => ({ ...LINK, session: new FakeSession() }),
  'guest-offer': () => receiving({}, offer),
  'guest-offer-missing': () =>
    receiving({}, [file('holiday/waves.mp4', 812_000_000, { name: 'offered', isMissing: true })]),
  'guest-offer-many': () => receiving({}, many),
  'guest-offer-one-person': () => receiving({ isOneTime: true, expiresAt: Date.UTC(2026, 11, 1, 9) }, offer),
  'guest-offer-memory': () => ({
    ...receiving({}, [file('report.pdf', 380_000)]),
    ways: ['memory'] as const,
    features: { isSecure: false },
  }),
  'guest-offer-too-big': () => ({
    ...receiving({}, offer),
    ways: ['memory'] as const,
    features: { isSecure: false },
  }),
  'guest-offer-no-room': () => ({
    ...receiving({}, [file('huge.iso', 40e9)]),
    ways: ['own-storage', 'memory'] as const,
  }),
  'guest-offer-strange-names': () =>
    receiving({}, [
      file('photo\u202Egnp.exe', 66_000),
      file(`${'very-long-name-'.repeat(20)}.bin`, 1),
      file('a/b/c/d/e/f/empty.txt', 0),
    ]),
  'guest-server': () =>
    receiving(
      { state: { name: 'open', path: 'server', sameLan: false }, serverBytesPerSecond: 1_048_576 },
      [file('report.pdf', 38_000_000, moving, 'in', 0.3)],
      900_000,
    ),
  'guest-consent': () =>
    receiving(
      {
        state: { name: 'open', path: 'server', sameLan: false },
        serverBytesPerSecond: 1_048_576,
        consent: 'asked',
      },
      [file('holiday/waves.mp4', 812_000_000, waiting)],
    ),
  'guest-consent-refused': () =>
    receiving(
      {
        state: { name: 'open', path: 'server', sameLan: false },
        serverBytesPerSecond: 1_048_576,
        consent: 'refused',
      },
      [file('holiday/waves.mp4', 812_000_000, waiting)],
    ),
  'guest-moving': () =>
    receiving(
      { state: { name: 'open', path: 'relayed', sameLan: false } },
      [
        file('beach.jpg', 4_200_000, saved('holiday')),
        file('holiday/waves.mp4', 812_000_000, moving, 'in', 0.42),
        file('sunset.heic', 3_100_000, waiting),
        file('map.pdf', 9_000_000, { name: 'checking' }),
      ],
      11_400_000,
    ),
  'guest-paused': () =>
    receiving({}, [
      file('holiday/waves.mp4', 812_000_000, paused, 'in', 0.42),
      file('other.mp4', 12_000_000, { name: 'paused', here: false, there: true }, 'in', 0.1),
    ]),
  'guest-waits-for-file': () =>
    receiving({}, [
      file(
        'holiday/waves.mp4',
        812_000_000,
        { name: 'paused', here: false, there: true, isMissing: true },
        'in',
        0.42,
      ),
    ]),
  'guest-away': () =>
    receiving({ state: { name: 'reconnecting', isPeerAway: true } }, [
      file('holiday/waves.mp4', 812_000_000, waiting, 'in', 0.42),
    ]),
  'guest-reconnecting': () =>
    receiving({ state: { name: 'reconnecting', isPeerAway: false } }, [
      file('holiday/waves.mp4', 812_000_000, waiting, 'in', 0.42),
    ]),
  'guest-complete': () =>
    receiving({}, [
      file('beach.jpg', 4_200_000, blob('beach')),
      file('holiday/waves.mp4', 812_000_000, blob('waves')),
      file('notes.txt', 0, saved('Downloads')),
    ]),
  'guest-had': () => ({
    ...receiving(
      {},
      [...photos, 'new.txt'].map((path) => file(path, 4_200_000)),
    ),
    memory: [
      [
        `peerage-share-had ${LINK.query.slice(9)} ${LINK.hash.slice(1)}`,
        JSON.stringify([
          ['zip-download', 'holiday.zip', ...photos.map(({ length }) => `${length} 4200000 `)],
        ]),
      ],
    ],
  }),
  'guest-declined': () =>
    receiving({}, [file('beach.jpg', 4_200_000, failed('rejected')), file('a.txt', 9, blob('a'))]),
  'guest-of-terminal': () => receiving({ device: 'Terminal on Linux' }, [text('1', 'in', 'hello')]),
  'guest-failures': () =>
    receiving({}, [
      file('changed.doc', 120_000, failed('file-changed')),
      file('stuck.bin', 5_000_000, failed('too-slow')),
      file('full.iso', 4_000_000_000, {
        name: 'ended',
        reason: 'error-here',
        detail: 'This browser has 12 MB free for received files.',
      }),
      file('fine.txt', 500, blob('fine')),
    ]),
  'guest-texts': () =>
    receiving({}, [
      text('1', 'in', 'First line\nSecond line with https://example.org/path?a=1&b=2.\n<b>no markup</b>'),
      text('2', 'out', 'Thanks!'),
      file('answer.txt', 1200, { name: 'offered' }, 'out'),
    ]),
  'guest-code': () => ({ isCodeForm: true }),
  'guest-code-typing': () => ({ isCodeForm: true }),
  'guest-code-bad': () => ({ isCodeForm: true }),
  'guest-password': () => ({ ...LINK, reading: 'needs-password' }),
  'guest-password-wrong': () => ({
    ...LINK,
    reading: 'needs-password',
    password: 'a guess',
    session: new FakeSession({
      state: { name: 'ended', why: 'wrong-password', detail: '' },
      passwordTriesLeft: 3,
    }),
  }),
}

const ENDS: readonly SessionEnd[] = [
  ...([
    'not-found',
    'wrong-link',
    'not-verified',
    'locked',
    'wrong-code',
    'taken-elsewhere',
    'stopped',
  ] as const),
  ...([
    'expired',
    'peer-left',
    'self-closed',
    'closed-here',
    'closed-there',
    'incompatible',
    'failed',
  ] as const),
]

const problemStates: Record<string, () => Demo> = {
  starting: () => ({ connect: () => new Promise<never>(() => {}) }),
  unreachable: () => failing('unreachable'),
  refused: () => failing('refused'),
  'not-loaded': () => failing('not-loaded'),
  unexpected: () => ({ connect: () => Promise.reject(new Error('a demo of an unexpected error')) }),
  'no-way-at-all': () => ({ direct: 'no-webrtc', isServerWay: false }),
  'no-webrtc': () => ({ direct: 'no-webrtc' }),
  'p2p-off': () => ({ direct: 'off' }),
  'part-missing': () => ({ isPartMissing: true }),
  superseded: () => ({ server: 'superseded' }),
  'server-closed': () => ({ server: 'closed' }),
  'server-lost': () => ({ server: 'lost' }),
  'link-bad-name': () => ({ query: `?peer_id=${'x'.repeat(300)}`, reading: 'bad-name' }),
  'link-missing-fragment': () => ({ ...LINK, hash: '', reading: 'missing' }),
  'link-cut': () => ({ ...LINK, reading: 'cut' }),
  'link-extra': () => ({ ...LINK, reading: 'extra' }),
  'link-other-version': () => ({ ...LINK, reading: 'other-version' }),
}

export const demoStates: Readonly<Record<string, () => Demo>> = {
  ...hostStates,
  ...guestStates,
  ...Object.fromEntries(ENDS.map((why) => [`end-${why}`, () => ended(why)])),
  'end-taken-after-all': () => ended('taken-elsewhere', [file('beach.jpg', 4_200_000, blob('b'))]),
  'end-after-files': () =>
    ended('peer-left', [
      file('beach.jpg', 4_200_000, blob('b')),
      file('cut.mp4', 9e6, failed('peer-offline')),
    ]),
  'end-kept': () => ({
    ...ended('stopped'),
    whole: photos.map((path, id) => ({
      file: { id, path, size: 4_200_000, type: '' },
      content: new Blob([path]),
    })),
  }),
  ...problemStates,
}
