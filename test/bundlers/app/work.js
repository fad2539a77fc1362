// The work of each bundle: two peers send a message through the server, join a room, and send a message over a channel.
export async function work({ connect }, url) {
  const alice = await connect(url)
  const bob = await connect(url)
  const relayed = new Promise((resolve) => bob.on('message', (_from, data) => resolve(data)))
  await alice.send(bob.name, 'relayed')
  const done = [await relayed]
  await alice.join('hall')
  done.push('room')
  const direct = new Promise((resolve) =>
    bob.p2p.on('channel-opened', (channel) => channel.on('message', resolve)),
  )
  try {
    const channel = await alice.p2p.connect(bob.name)
    await channel.send('direct')
    done.push(await direct)
  } catch (error) {
    done.push(error.message)
  }
  await alice.leave()
  await bob.leave()
  return done.join(', ')
}
