import { NOW, script } from './script.js'

/**
 * KEYS: queue. ARGV: message, its length, most messages, most length, TTL of the queue. The first element of the list
 * holds when the queue was created, and its length in bytes. Answers {created}, or {} if the queue is full.
 */
export const putScript = script(`${NOW}
local made, length = now, 0
local head = redis.call('LINDEX', KEYS[1], 0)
if head then
  local m, l = string.match(head, '^(%d+) (%d+)$')
  made, length = tonumber(m), tonumber(l)
end
local more = length + tonumber(ARGV[2])
if redis.call('LLEN', KEYS[1]) > tonumber(ARGV[3]) or more > tonumber(ARGV[4]) then return {} end
if head then redis.call('LSET', KEYS[1], 0, text(made) .. ' ' .. text(more))
else
  redis.call('RPUSH', KEYS[1], text(made) .. ' ' .. text(more))
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
redis.call('RPUSH', KEYS[1], ARGV[1])
return { text(made) }
`)

/**
 * KEYS: queue. ARGV: expiry in ms, old (1|0): whether to empty the queue only if it is that old, or only if it is
 * younger.
 */
export const emptyScript = script(`${NOW}
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then return {} end
local old = now - tonumber(string.match(head, '^%d+')) > tonumber(ARGV[1])
if old ~= (ARGV[2] == '1') then return {} end
local messages = redis.call('LRANGE', KEYS[1], 1, -1)
redis.call('DEL', KEYS[1])
return messages
`)
