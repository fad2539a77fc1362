import { PRESENTED_AHEAD_MOST_MS } from '@peerage/core'
import { IN_TIME, NOW, script } from './script.js'

// Each change of a name is one of these scripts. A script touches only keys and channels of that name, so it is
// atomic on any topology. On a single server a claim also reads the set of nodes. Times are Redis milliseconds.
// Numbers are written with %.0f, because Lua would round them to 14 digits. `now` is rounded down, so something that
// began within the current millisecond has lasted for N ms only when `now` has advanced by more than N. Publishing a
// change may fail (an ACL without the channel), and must not undo the change: hence pcall [I15].

// lease-string.ts describes the format. Of a tombstone, epoch and rank are read. Any other value has epoch 0.
const READ = `
local function read(value)
  if not value then return nil end
  local words = string.sub(value, 31)
  local state, since, later, connection, at = string.match(words, '^([oa])(%w+):?(%w*) (%w+)()')
  if state and not string.find(string.sub(value, 1, 30), '[^%w_-]') then
    local first = tonumber(since, 36)
    return {
      node = string.sub(value, 1, 8), hash = string.sub(value, 9, 30), state = state, connection = connection,
      since = first, epoch = first + (later == '' and 0 or tonumber(later, 36)),
      rank = tonumber(string.match(words, '^ ~(%w+)', at) or '', 36) or first
    }
  end
  local epoch, rank = string.match(value, '^(%d+) ?(%d*)$')
  return { epoch = tonumber(epoch) or 0, rank = tonumber(rank) }
end
`

const WRITE = `
local digits = '0123456789abcdefghijklmnopqrstuvwxyz'
local function base36(n)
  local written = ''
  repeat
    local digit = n % 36
    written = string.sub(digits, digit + 1, digit + 1) .. written
    n = (n - digit) / 36
  until n == 0
  return written
end
local function write(node, hash, state, since, epoch, connection, rank)
  local later = epoch == since and '' or ':' .. base36(epoch - since)
  local last = rank == since and '' or ' ~' .. base36(rank)
  return node .. hash .. state .. base36(since) .. later .. ' ' .. connection .. last
end
`

const ANNOUNCE = `
local function announce(channel, change) redis.pcall('SPUBLISH', channel, change) end
`

/**
 * KEYS: lease, on a single server also nodes. ARGV: channel, node, connection, hash, replace (1|0), presented, TTL,
 * latest (the time after which it is too late), may take an absent name (1|0), the mark of the set of nodes; then, if
 * the holder's node is dead, that node and the holder's epoch.
 *
 * Answers {'won', lease, former}, {'held', holder} or {'late', now}. For an absent name also {'unsettled'} if it may
 * not be taken, and {'emptied'} if the server was emptied since the caller's last beat.
 */
export const claimScript = script(`${NOW}${IN_TIME}${READ}${WRITE}${ANNOUNCE}
local channel, node, connection, hash = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if late(ARGV[8]) then return { 'late', text(now) } end
local value = redis.call('GET', KEYS[1])
local held = read(value)
local returns = held and held.hash == hash
if held and held.node and not returns and ARGV[5] ~= '1' then
  local dead = held.state == 'o' and held.node == ARGV[11] and text(held.epoch) == ARGV[12]
  if not dead then return { 'held', value } end
end
if not held or not held.node then
  if KEYS[2] and not redis.call('ZRANK', KEYS[2], ARGV[10]) then return { 'emptied' } end
  if ARGV[9] ~= '1' then return { 'unsettled' } end
end
local presented = math.min(tonumber(ARGV[6]), now + ${PRESENTED_AHEAD_MOST_MS})
local epoch = math.max(held and held.epoch or 0, presented, now) + 1
local since = returns and held.since or epoch
-- A claim that returns, replaces the holder, or follows a released lease takes over that rank, so any lease of that
-- holder that a node still knows loses against it. A claim after the holder of a dead node starts with a rank of its
-- own.
local rank = held and (returns or ARGV[5] == '1' or not held.node) and held.rank or since
local lease = write(node, hash, 'o', since, epoch, connection, rank)
redis.call('SET', KEYS[1], lease, 'PX', ARGV[7])
if not returns or held.state ~= 'o' then announce(channel, 'o ' .. text(since)) end
return { 'won', lease, held and held.node and value or '' }
`)

/** KEYS: lease. ARGV: the lease online, the same away, TTL. Answers 1, or the other value that the key holds. */
export const renewScript = script(`
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
if value == ARGV[2] then return 1 end
return value
`)

/** KEYS: lease. ARGV: channel, the lease online, the same away, grace, since. */
export const suspendScript = script(`${ANNOUNCE}
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
announce(ARGV[1], 'a ' .. ARGV[5])
return 1
`)

/**
 * KEYS: lease. ARGV: channel, the lease online, the same away, epoch, since, was away (1|0), rank, how long other
 * nodes may still know an earlier lease. It leaves a tombstone for that long if there were earlier leases, and for as
 * long as the epoch is ahead of the clock.
 */
export const releaseScript = script(`${NOW}${ANNOUNCE}
local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[2] and value ~= ARGV[3] then return 0 end
if value then
  local tombstone, lasts = ARGV[4], tonumber(ARGV[4]) - now + 2
  if ARGV[7] ~= ARGV[4] then
    tombstone, lasts = ARGV[4] .. ' ' .. ARGV[7], math.max(lasts, tonumber(ARGV[8]))
  end
  if lasts > 0 then redis.call('SET', KEYS[1], tombstone, 'PX', text(lasts))
  else redis.call('DEL', KEYS[1]) end
elseif ARGV[6] ~= '1' then return 0 end
announce(ARGV[1], 'f ' .. ARGV[5])
return 1
`)

/**
 * KEYS: lease. ARGV: channel, the lease, the same online, the same away, node, connection, since, epoch, state (o|a),
 * name TTL, grace, former node or '', latest, hash, rank.
 *
 * Answers {'ours'}, {'absent'}, {'lost', holder}, {'evicted', loser} or {'late', now}.
 */
export const reassertScript = script(`${NOW}${IN_TIME}${READ}${WRITE}${ANNOUNCE}
local channel, lease, online, away = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local node, connection, since, epoch = ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local state, ttl, grace, former = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
if late(ARGV[13]) then return { 'late', text(now) } end
local hash, rank = ARGV[14], tonumber(ARGV[15])
local function put(value, state, since)
  redis.call('SET', KEYS[1], value, 'PX', state == 'o' and ttl or grace)
  announce(channel, state .. ' ' .. text(since))
end
local value = redis.call('GET', KEYS[1])
local held = read(value)
if held and not held.node and held.epoch >= epoch then return { 'absent' } end
if not held or not held.node then
  put(lease, state, since)
  return { 'ours' }
end
if value == online then
  redis.call('PEXPIRE', KEYS[1], ttl)
  return { 'ours' }
end
if value == away then return { 'ours' } end
if former ~= '' then
  if held.node ~= former or held.connection ~= connection or held.epoch ~= epoch then return { 'lost', value } end
  if held.state == 'o' then redis.call('SET', KEYS[1], online, 'PX', ttl)
  else redis.call('SET', KEYS[1], away, 'KEEPTTL') end
  return { 'ours' }
end
local function precedes()
  if held.epoch ~= epoch then return held.epoch > epoch end
  if held.node ~= node then return held.node < node end
  return held.connection < connection
end
if held.hash == hash then
  -- A lease that took over a rank was claimed after the other had ended: perhaps by the same peer, but as another
  -- holder.
  if held.rank < held.since and epoch < held.since then return { 'lost', value } end
  if rank < since and held.epoch < since then
    put(lease, state, since)
    return { 'ours' }
  end
  -- Two claims of one peer: the later one says where the peer is now, the older since identifies it.
  local first, best = math.min(held.since, since), math.min(held.rank, rank)
  if precedes() then
    value = write(held.node, hash, held.state, first, held.epoch, held.connection, best)
    redis.call('SET', KEYS[1], value, 'KEEPTTL')
    return { 'lost', value }
  end
  value = write(node, hash, state, first, epoch, connection, best)
  put(value, state, first)
  if first == since then return { 'ours' } end
  return { 'lost', value }
end
local prevails
if held.rank ~= rank then prevails = held.rank < rank
else prevails = precedes() end
if prevails then return { 'lost', value } end
put(lease, state, since)
return { 'evicted', value }
`)
