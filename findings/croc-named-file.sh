#!/usr/bin/env bash
# croc 10.7.0: `croc send FILE` ignores FILE if its standard input is a pipe, and sends what the pipe carries.
#
# A program that starts croc with a pipe as standard input (a job runner, `subprocess` of Python, ssh without a terminal)
# gives it a name and gets something else sent: an open pipe makes croc wait, and a pipe with five bytes makes it send a
# file `croc-stdin-…` of five bytes. Both sides say 100 % and end with 0. The flag `--ignore-stdin` before `send` helps.
# With /dev/null as standard input the named file is sent.
#
# Seen on 2026-11-30, Linux, built by Go from the module proxy: "Sending 'stdin' (5 B)" for `croc send small.bin`.
# `peerage send FILE` reads its standard input only if the path is `-` (test/cluster/share-cli.test.ts).
#
# Exits with 0 while this is so, and with 1 when it has changed. It needs Go 1.24 or later.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${relay:-}" "${sender:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" GOPATH="$folder/go" go install github.com/schollz/croc/v10@v10.7.0 2>/dev/null
./croc --version

export CROC_SECRET=7421-three-plain-words
base=$((20000 + RANDOM % 20000))
./croc relay --host 127.0.0.1 --ports "$base,$((base + 1)),$((base + 2)),$((base + 3)),$((base + 4))" >relay.log 2>&1 &
relay=$!
head -c 1000000 /dev/urandom >small.bin
mkdir out

# Both sides wait for each other, so their order does not matter. The relay may need a moment.
for _ in 1 2 3 4 5 6 7 8 9 10; do (: >"/dev/tcp/127.0.0.1/$base") 2>/dev/null && break || sleep 0.3; done
(printf hello | timeout 60 ./croc --relay "127.0.0.1:$base" send --no-local small.bin >send.log 2>&1) &
sender=$!
for _ in $(seq 50); do grep -q 'Code is' send.log 2>/dev/null && break || sleep 0.2; done
timeout 60 ./croc --relay "127.0.0.1:$base" --yes --out out </dev/null >receive.log 2>&1
echo "the receiver ended with $?"
wait "$sender" && echo "the sender ended with 0"

grep -ao "Sending 'stdin' (5 B)" send.log || true
ls out
if [ ! -e out/small.bin ] && [ "$(cat out/croc-stdin-*)" = hello ]; then
  echo 'still so: the named file was ignored'
else
  echo 'changed: croc no longer prefers the pipe'
  exit 1
fi
