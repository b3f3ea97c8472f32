"""What must happen in one step to events that wait on a server. See `RedisEventLog` for the names."""

from __future__ import annotations

from typing import Final

from thrift_plugins.stores.redis_scripts import Script

APPEND: Final = Script("""
-- KEYS: events, ids, counts   ARGV: how many may wait, then id, seconds and JSON of each event
local new = 0
for i = 2, #ARGV, 3 do
  new = new + 1 - redis.call('SISMEMBER', KEYS[2], ARGV[i])
end
if new > 0 and redis.call('XLEN', KEYS[1]) + new > tonumber(ARGV[1]) then return -1 end
new = 0
for i = 2, #ARGV, 3 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'at', ARGV[i + 1], 'body', ARGV[i + 2])
    new = new + 1
  end
end
redis.call('HINCRBY', KEYS[3], 'added', new)
return new
""")
"""Append events that are not waiting yet, all or none. How many were new; -1: too many wait."""

REMOVE: Final = Script("""
-- KEYS: events, ids, counts   ARGV: place and id of each event
local removed = 0
for i = 1, #ARGV, 2 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('SREM', KEYS[2], ARGV[i + 1])
    removed = removed + 1
  end
end
redis.call('HINCRBY', KEYS[3], 'collected', removed)
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end
return removed
""")
"""Remove events that are kept elsewhere by now."""

MISSING: Final = Script("""
-- KEYS: events, ids, counts   ARGV: how many that are missing have been told
redis.call('HINCRBY', KEYS[3], 'collected', ARGV[1])
local added, collected = unpack(redis.call('HMGET', KEYS[3], 'added', 'collected'))
local missing = (added or 0) - collected - redis.call('XLEN', KEYS[1])
if missing < 0 then  -- the counts themselves were evicted, and began anew
  redis.call('HINCRBY', KEYS[3], 'added', -missing)
  missing = 0
end
return {missing, tonumber(collected)}
""")
"""How many events went missing on the server and were not told yet, and how many were collected or told."""
