// Peers with many names, in their own process: node names-crowd.mjs hold|claim COUNT URL…
// `hold` claims all names and prints `open`; SIGUSR2 cuts a few peers, which stay away. `claim` tries to claim the same names
// with other secrets, again and again. On SIGTERM each prints its results.
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

const [role, total, ...urls] = process.argv.slice(2)
const count = Number(total)
const AWAY = 100
const A_TIME = 50
const SECRETS = { hold: 'h'.repeat(22), claim: 'c'.repeat(22) }
const told = {}
const say = (what) => (told[what] = (told[what] ?? 0) + 1)

/** Resolves with the socket and the epoch of its name. Rejects with the code of the refusal. */
function open(url, name, secret) {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`)
  return new Promise((resolve, reject) => {
    ws.on('error', (error) => reject(new Error(error.code ?? error.message)))
    ws.on('close', (code) => reject(new Error(`closed ${code}`)))
    ws.on('message', (data) => {
      const frame = Buffer.from(data).toString()
      if (frame === '2') ws.send('3')
      else if (frame.startsWith('0')) ws.send(`40${JSON.stringify({ v: 1, name, secret })}`)
      else if (frame.startsWith('42["welcome"'))
        resolve({ ws, since: Number(/"since":(\d+)/.exec(frame)?.[1]) })
      else if (frame.startsWith('44')) {
        reject(new Error(`refused ${/"code":"([^"]+)/.exec(frame)?.[1] ?? frame.slice(0, 60)}`))
        ws.terminate()
      }
    })
  })
}

function report(fields) {
  console.log(JSON.stringify({ ...fields, told }))
  process.exit(0)
}

const names = Array.from({ length: count }, (_, i) => `held-${i}`)
const urlOf = (i) => urls[i % urls.length]

async function hold() {
  const holders = []
  const change = { lost: 0, moved: 0, shrunk: 0 }
  const judge = (holder, since) => {
    if (since < holder.since) change.shrunk++
    if (since !== holder.since) change.moved++
    holder.since = since
  }
  /** Reconnects as an SDK does, unless it was told that the name is no longer its own. */
  const keep = (holder) =>
    holder.ws.on('close', async (code) => {
      if (holder.isAway) return
      say(`closed ${code}`)
      // superseded, lease-lost.
      if (code === 4500 || code === 4001) change.lost++
      else await comeBack(holder)
    })
  const comeBack = async (holder) => {
    for (let tries = 0; tries < 40; tries++) {
      try {
        const { ws, since } = await open(urlOf(holder.i), holder.name, SECRETS.hold)
        judge(holder, since)
        holder.ws = ws
        holder.isAway = false
        keep(holder)
        return
      } catch (error) {
        say(error.message)
        if (error.message === 'refused name-taken') {
          change.lost++
          return
        }
        await delay(500)
      }
    }
    change.lost++
  }
  for (let i = 0; i < count; i += A_TIME) {
    const some = names.slice(i, i + A_TIME)
    const opened = await Promise.all(some.map((name, j) => open(urlOf(i + j), name, SECRETS.hold)))
    for (const [j, { ws, since }] of opened.entries())
      holders.push({ i: i + j, name: some[j], ws, since, isAway: false })
  }
  for (const holder of holders) keep(holder)
  const away = holders.slice(0, Math.min(AWAY, count / 10))
  process.on('SIGUSR2', () => {
    for (const holder of away) {
      holder.isAway = true
      holder.ws.terminate()
    }
  })
  const finish = async () => {
    const before = change.lost
    await Promise.all(away.map(comeBack))
    const online = holders.filter(({ ws }) => ws.readyState === WebSocket.OPEN).length
    report({ ...change, lost: before, awayLost: change.lost - before, online })
  }
  process.on('SIGTERM', () => void finish())
  console.log('open')
}

async function claim() {
  let taken = 0
  let tries = 0
  process.on('SIGTERM', () => report({ taken, tries }))
  console.log('open')
  await Promise.all(
    Array.from({ length: 24 }, async (_, worker) => {
      for (let n = worker; ; n += 24) {
        // Another node in each round, so that each name is also claimed at its holder's node.
        const url = urlOf(n + Math.floor(n / count))
        tries++
        try {
          await open(url, names[n % count], SECRETS.claim)
          taken++
        } catch (error) {
          say(error.message)
          await delay(20)
        }
      }
    }),
  )
}

await (role === 'hold' ? hold() : claim())
