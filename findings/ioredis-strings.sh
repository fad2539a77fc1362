#!/usr/bin/env bash
# ioredis 6.0.0 on Node 20: importing it makes all string operations of the process slower.
#
# One of its classes extends String (a reply type of RESP3, resp/verbatim-string). V8 optimizes the look-up of string methods
# only while String.prototype is not the prototype of another object. After that it keeps the properties of String.prototype
# in a dictionary, and looks up charCodeAt, startsWith and so on at each call. This needs no use of the class, and no Redis.
#
# Measured on 2026-11-30 with node 20.20.2 and ioredis 6.0.0: fast properties true -> false, and a loop over the characters
# of a text of 58 takes about twice as long (319 -> 619 ns; on an idle machine 156 -> 361).
# Peerage's workaround: packages/server/src/lib/fast-strings.ts.
#
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts ioredis@6.0.0

cat > measure.mjs <<'JS'
if (process.argv[2] === 'with') await import('ioredis')
const isFast = new Function('return %HasFastProperties(String.prototype)')()
const text = 'candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host abcdef'.slice(0, 58)
let sum = 0
const sumOf = (one) => {
  for (let i = 0; i < one.length; i++) sum += one.charCodeAt(i)
}
for (let i = 0; i < 200_000; i++) sumOf(text)
const rounds = Array.from({ length: 9 }, () => {
  const from = process.hrtime.bigint()
  for (let i = 0; i < 200_000; i++) sumOf(text)
  return Number(process.hrtime.bigint() - from) / 200_000
})
console.log(JSON.stringify({ isFast, ns: Math.round(rounds.toSorted((a, b) => a - b)[4]), sum: sum > 0 }))
JS

without=$(node --allow-natives-syntax measure.mjs)
with=$(node --allow-natives-syntax measure.mjs with)
echo "node $(node --version), ioredis $(node -p 'JSON.parse(fs.readFileSync("node_modules/ioredis/package.json")).version')"
echo "without ioredis: $without"
echo "with ioredis:    $with"
node -e '
const [without, withIt] = process.argv.slice(1).map((text) => JSON.parse(text))
const ratio = withIt.ns / without.ns
console.log(`a loop over 58 characters takes ${ratio.toFixed(2)} times as long`)
const isSo = without.isFast && !withIt.isFast && ratio > 1.3
console.log(isSo ? "as described" : "CHANGED: importing ioredis no longer slows strings down")
process.exit(isSo ? 0 : 1)
' "$without" "$with"
