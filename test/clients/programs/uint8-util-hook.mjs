/**
 * WebTorrent 2.8.5 gives a text to `arr2hex` of uint8-util. Since 2.3.0 that takes only bytes in Node, so whoever adds a
 * torrent there loses the process (findings/webtorrent-uint8-util.sh). This hook lets it take a text again.
 */
export async function load(url, context, next) {
  const loaded = await next(url, context)
  if (!url.endsWith('/uint8-util/dist/src/node.js')) return loaded
  const source = String(loaded.source).replace(
    'arr2hex = (data) =>',
    "arr2hex = (data) => typeof data === 'string' ? data :",
  )
  return { ...loaded, source }
}
