#!/usr/bin/env bash
# coturn 4.6.1 leaves SIGTERM, SIGINT and SIGUSR1 to the system, and the system does not end process 1 of a PID namespace on a
# signal that it does not handle. So a container whose first process is turnserver never stops when it is told to: the
# engine waits for the whole grace (10 s in Docker, 30 s in Kubernetes) and kills it. As any other process it ends at once.
#
# A shell that ends with `exec turnserver` makes turnserver process 1, too. `init: true` in a compose file (`docker run
# --init`) puts another program there, which passes signals on.
#
# Seen on 2026-12-01, Debian 12, coturn 4.6.1: as process 1 it still ran 5 s after each of the three signals. Otherwise it
# ended within a tenth of a second. docker-compose.yml of Peerage has `init: true` for coturn.
#
# Exits with 0 while this is so, and with 1 when it has changed. It needs root, util-linux, and coturn: a path in TURNSERVER,
# or `turnserver` (Debian: apt-get install coturn).
set -euo pipefail

turnserver=${TURNSERVER:-$(command -v turnserver)}
folder=$(mktemp -d)
trap 'kill -KILL $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
printf '%s\n' listening-ip=127.0.0.1 listening-port=13478 no-auth no-cli no-tls no-dtls log-file=stdout >turnserver.conf
echo "coturn $("$turnserver" --version)"
readonly RUN=("$turnserver" -c turnserver.conf --userdb "$folder/db" --pidfile "$folder/pid")

wait_for_start() { # until the log says that it listens
  for _ in $(seq 100); do
    grep -q 'auth thread' log 2>/dev/null && return
    sleep 0.1
  done
  echo 'turnserver did not start:' && cat log && exit 1
}

ends() { # PID: whether it ends within 5 s
  for _ in $(seq 50); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

for signal in TERM INT USR1; do
  rm -f log
  unshare --pid --fork --kill-child "${RUN[@]}" >log 2>&1 &
  outer=$!
  wait_for_start
  inner=$(pgrep -P "$outer")
  kill -s "$signal" "$inner"
  if ends "$inner"; then
    echo "CHANGED: as process 1 it ended on SIG$signal"
    exit 1
  fi
  echo "SIG$signal to process 1: still runs after 5 s"
  kill -KILL "$inner"
  wait "$outer" 2>/dev/null || true
done

rm -f log
"${RUN[@]}" >log 2>&1 &
plain=$!
wait_for_start
kill -TERM "$plain"
wait "$plain" 2>/dev/null || true
echo 'SIGTERM to an ordinary process: ended'
