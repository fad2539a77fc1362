#!/usr/bin/env bash
# werift 0.25.2: `RTCDataChannel.send(bytes)` keeps the caller's memory until the bytes have left.
#
# A program that fills one buffer again and again and sends it each time (chunks of a file, frames of a camera) delivers
# the last content many times and loses the others, without an error on either side. Browsers, node-datachannel and
# @roamhq/wrtc copy the bytes in `send` (WebRTC, section 6.2: the bytes count that the buffer holds at the call). This
# needs no load: also the messages that are sent while nothing waits are changed, because they leave in a later turn.
#
# Seen on 2026-11-30, Linux, Node 20.20.2: 39 of 40 messages of 60,000 bytes arrived with other bytes.
# Peerage gives stacks that are written in JavaScript a copy (PP19, packages/client/src/p2p/channel/streams.ts).
#
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund werift@0.25.2 node-datachannel@0.33.4 >/dev/null 2>&1
node --version

cat >reuse.mjs <<'END'
const MESSAGES = 40
for (const name of ['werift', 'node-datachannel/polyfill']) {
  const { RTCPeerConnection } = await import(name)
  const [a, b] = [new RTCPeerConnection({}), new RTCPeerConnection({})]
  // All candidates go within the descriptions, so none comes before its description.
  const describe = async (one, description) => {
    await one.setLocalDescription(description)
    while (one.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10))
    return one.localDescription
  }
  const [out, into] = [a, b].map((one) => one.createDataChannel('x', { negotiated: true, id: 0 }))
  into.binaryType = 'arraybuffer'
  await b.setRemoteDescription(await describe(a, await a.createOffer()))
  await a.setRemoteDescription(await describe(b, await b.createAnswer()))
  if (out.readyState !== 'open') await new Promise((resolve) => (out.onopen = resolve))
  const arrived = new Promise((resolve) => {
    const messages = []
    into.onmessage = ({ data }) => {
      messages.push(new Uint8Array(data))
      if (messages.length === MESSAGES) resolve(messages)
    }
  })
  const buffer = Buffer.alloc(60_000)
  for (let i = 1; i <= MESSAGES; i++) out.send(buffer.fill(i))
  const changed = (await arrived).filter((message, index) => message.some((byte) => byte !== index + 1))
  console.log(`${name}: ${changed.length} of ${MESSAGES} messages arrived with other bytes`)
}
process.exit()
END
timeout 60 node reuse.mjs | tee out.txt
if grep -q '^werift: 39 of 40' out.txt && grep -q '^node-datachannel/polyfill: 0 of 40' out.txt; then
  echo 'still so: werift sends what the memory holds later'
else
  echo 'changed'
  exit 1
fi
