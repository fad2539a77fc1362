import type { Words } from './words.js'

/** What the page says in Chinese when something is not as it should be. */
export const chinese: Words['states'] = {
  reload: '刷新',
  tryAgain: '再试一次',
  startOwn: '我要发送文件',
  newShare: '重新分享',
  shareAgain: '再分享给一个人',
  enterCode: '重新输入口令',

  starting: '正在连接服务器…',
  serverLost: '与服务器的连接断开了，正在重新连接… 正在进行的传输不受影响。',
  ownLink: {
    title: '这是你自己的链接',
    text: '请在另一台设备上打开它，或者发给别人。对方会连接到这个页面。',
  },
  emptyName: {
    title: '链接不完整',
    text: '链接里没有要连接的人，所以这里是你自己的新分享。如果想接收文件，请再要一次链接。',
  },
  unreachable: { title: '连不上服务器', text: '请检查网络。页面已经尝试了半分钟。' },
  refused: {
    title: '服务器不让这个页面连接',
    text: '服务器可能已满，或者只允许部分人使用。请稍后再试。',
  },
  superseded: {
    title: '这个分享已在另一个标签页打开',
    text: '另一个标签页已经接管。请在那里继续，或者刷新来使用这个标签页。',
  },
  serverClosed: { title: '服务器结束了连接', text: '请刷新页面，重新连接。' },
  notLoaded: {
    title: '页面的一部分没能加载',
    text: '服务器上可能是更新的版本。请刷新页面。刷新之前，正在传输的文件会继续。',
  },
  noWebRtc: {
    title: '这个浏览器不能直接连接',
    text: '浏览器关闭了直接连接，或者没有这个功能。文件会加密后经过服务器，速度较慢。',
  },
  p2pOff: {
    title: '这个服务器没有启用直接连接',
    text: '文件会加密后经过服务器，速度较慢。',
  },
  noWayAtAll: {
    title: '没有办法发送文件',
    text: '这里不能直接连接，服务器也不转送文件。请换一个浏览器，或者联系服务器的管理者。',
  },
  badName: {
    title: '这个链接无效',
    text: '链接里的名字不可能是任何人的名字。请再要一次链接，并完整地复制。',
  },
  missingFragment: {
    title: '链接缺少最后一部分',
    text: '“#”后面的部分是秘密，有些程序会把它去掉。请再要一次链接，并完整地复制。',
  },
  cutFragment: {
    title: '链接被截断了',
    text: '链接的最后一部分不完整。请再要一次链接，并完整地复制。',
  },
  extraFragment: {
    title: '链接里有多余的内容',
    text: '复制时可能带上了别的字或符号。请重新复制链接，从“http”到最后一个字母，不多也不少。',
  },
  otherVersion: {
    title: '链接来自另一个版本',
    text: '请刷新这个页面。如果还不行，请对方刷新页面，再发一个新链接。',
  },
  unexpected: { title: '出了问题', text: '请刷新页面。如果再次出现，请联系服务器的管理者。' },
  hostLocked: {
    title: '密码错误次数太多',
    text: '密码已经错了十次，所以不再让新的人进入。已经连接的人不受影响。要得到新链接，请停止分享，再重新开始。',
  },
  hostTaken: {
    title: '分享已被接收',
    text: '它只给一个人，那个人已经接收。链接不再让别人进入。',
  },
  hostStopped: { title: '你已停止分享', text: '链接已失效。' },
  hostExpired: { title: '分享的时间已到', text: '链接已失效。' },
  ends: {
    'not-found': {
      title: '对方不在',
      text: '生成链接的页面已经关闭，或者链接太旧。请对方重新打开页面，或发一个新链接。',
    },
    'wrong-link': {
      title: '这个链接已经不对了',
      text: '对方后来生成了新链接，或者链接的一部分被改动。请重新完整地复制链接，或者要一个新链接。',
    },
    'not-verified': {
      title: '不安全，所以页面停止了连接',
      text: '对方无法证明链接是它生成的，所以没有发送或接收任何内容。可能是链接的一部分被改动：请重新完整地复制链接。如果还不行，可能有人在中间做了手脚：请换一个网络，或者用另一种方式要链接。',
    },
    'wrong-password': { title: '密码不对', text: '请向对方询问密码。' },
    locked: {
      title: '密码错误次数太多',
      text: '为了安全，这个链接不再让新的人进入。请向对方要一个新链接。',
    },
    'wrong-code': {
      title: '口令不对，或者已经用过',
      text: '为了安全，一个口令只能试一次。请向对方要一个新口令。',
    },
    'taken-elsewhere': {
      title: '已经有人接收了',
      text: '这个链接只给一个人，另一个人或另一台设备已经接收。请对方再分享一次。',
    },
    stopped: { title: '对方已停止分享', text: '已经完整收到的文件会保留。' },
    expired: { title: '链接的时间已到', text: '请向对方要一个新链接。' },
    'peer-left': {
      title: '对方已离开',
      text: '对方关闭了页面，或者离开太久。已经完整收到的内容会保留。',
    },
    'self-closed': { title: '这个页面已断开', text: '请刷新页面。' },
    'closed-here': { title: '你已断开连接', text: '已经完整收到的内容会保留。' },
    'closed-there': { title: '对方已断开连接', text: '已经完整收到的内容会保留。' },
    incompatible: { title: '两边的页面版本不同', text: '请两边都刷新页面。' },
    failed: {
      title: '没有连接成功',
      text: '请再试一次。如果还不行，请换一个网络，或者让两台设备连到同一个 Wi-Fi。',
    },
  },
  takenAfterAll: {
    title: '你已收到全部文件',
    text: '这个链接只给一个人，现在由别人使用。已经收到的内容会保留。',
  },
  searching: '页面会自动继续查找。',
  endsShort: {
    'not-found': '已经不在了',
    'wrong-link': '用了旧链接',
    'not-verified': '无法确认身份，所以没有交换任何内容',
    'wrong-password': '输错了密码',
    locked: '没有进入：密码错误次数太多',
    'wrong-code': '输错了口令',
    'taken-elsewhere': '来晚了：已经有人接收',
    stopped: '已结束，因为你停止了分享',
    expired: '已结束，因为时间已到',
    'peer-left': '已离开',
    'self-closed': '这个页面已断开',
    'closed-here': '你已断开',
    'closed-there': '对方已断开',
    incompatible: '页面版本不同',
    failed: '没有连接成功',
  },
  fileEnds: {
    rejected: '未接收',
    'cancelled-here': '你已取消',
    'cancelled-there': '对方已取消',
    'peer-offline': '没有传完：对方已离开',
    'self-offline': '没有传完：这个页面已断开',
    'channel-closed': '没有传完：连接已关闭',
    'too-slow': '已放弃：两分钟没有进展',
    'first-byte-timeout': '已放弃：没有收到内容',
    'taken-elsewhere': '已经有人接收',
    'file-changed': '文件在发送时被改动，所以没有保留',
    stopped: '对方不再分享它',
  },
  fileErrors: {
    'error-here': { out: '无法读取', in: '无法在这里保存' },
    'error-there': { out: '对方无法保存', in: '对方无法读取' },
  },
  why: (detail) => reasons.find(([pattern]) => pattern.test(detail))?.[1] ?? detail,
}

/** The usual reasons. Others, such as those of a terminal, are shown as they came. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/broke the protocol/, '两边不能互相理解，请都刷新页面'],
  [/enough memory|in memory, and no more/, '内存不够'],
  [/no more room|does not fit|free for received files|too large/, '空间不够'],
  [/another tab/, '这个文件在另一个标签页里打开着'],
  [/no longer allows/, '浏览器不再允许写入，请重新选择位置'],
  [/place of this file is gone/, '保存的位置不见了'],
  [/changed, moved or deleted|moved, renamed or removed/, '文件被移动、改名或删除了'],
  [/changed|shorter than/, '文件被改动了'],
  [/must be chosen again/, '需要再选一次这个文件'],
  [/could not be read|cannot be read/, '文件读不出来'],
  [/could not be stored|could not store/, '文件没能保存'],
  [/download was cancelled/, '下载被取消，或者磁盘已满'],
  [/^The path of this file|of this name/, '文件名不能用'],
  [/was paused while another one/, '这个文件暂停时，压缩包里放了另一个文件。请再要一次'],
]
