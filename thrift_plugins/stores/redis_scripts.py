"""What must happen in one step, on the server. No text of a user ever becomes part of a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name under which a server remembers it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 is how the protocol names scripts; nothing rests on its strength.
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())


PUT = Script("""
-- KEYS: entry, claim, the marks (ARGV[6] of them), the sets of the tags (the rest)
-- ARGV: value, milliseconds to live or '', token or '', asked at (microseconds) or '', age (microseconds), marks, member
local marks = tonumber(ARGV[6])
if ARGV[3] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
  redis.call('DEL', KEYS[2])
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if ARGV[4] ~= '' and marks > 0 then
  local asked, here = tonumber(ARGV[4]), now - ARGV[5]
  for _, mark in ipairs(redis.call('MGET', unpack(KEYS, 3, 2 + marks))) do
    if mark then
      local there, theirs = string.match(mark, '^(%d+) (%d+)$')
      if not there or tonumber(there) >= here or tonumber(theirs) >= asked then return 0 end
    end
  end
end
if ARGV[2] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local expires = ARGV[2] == '' and '+inf' or string.format('%.0f', now / 1000 + ARGV[2])
for i = 3 + marks, #KEYS do
  -- A few of the expired at each write: a set never outgrows what lives by more than what the writes of a moment add.
  local old = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', now / 1000), 'LIMIT', 0, 32)
  if #old > 0 then redis.call('ZREM', KEYS[i], unpack(old)) end
  local left = redis.call('PTTL', KEYS[i])
  redis.call('ZADD', KEYS[i], expires, ARGV[7])
  if ARGV[2] == '' then
    redis.call('PERSIST', KEYS[i])
  elseif left == -2 or (left >= 0 and left < tonumber(ARGV[2])) then
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
  end
end
return 1
""")
"""Keep a value unless it was forgotten or its claim was lost. 1: kept, 0: not.

Both clocks count: the server's tells whether the mark is younger than the question however the hosts' clocks differ, the
store's is the one that `asked` was read from.
"""

MARK = Script("""
-- KEYS: the mark, and what goes with it. ARGV: the store's time (microseconds), milliseconds to live
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%.0f %s', time[1] * 1000000 + time[2], ARGV[1]), 'PX', ARGV[2])
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
""")
"""Remember that something was forgotten, and remove it."""

RELEASE = Script("""
-- KEYS: claim. ARGV: token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")
"""Let go of a claim, if it is still ours."""

EXTEND = Script("""
-- KEYS: claim. ARGV: token, milliseconds
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
""")
"""Keep a claim alive. 0: it is no longer ours."""

PUBLISH = Script("""
-- KEYS: stream. ARGV: record, records to keep, milliseconds to live or ''
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'd', ARGV[1])
if ARGV[3] == '' then return redis.call('PERSIST', KEYS[1]) end
local left = redis.call('PTTL', KEYS[1])
if left < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
""")
"""Add a record to a feed that is bounded in number and in time."""

SINCE = Script("""
-- KEYS: stream. ARGV: first id, records at most
local flat = {}
for _, record in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  flat[#flat + 1] = record[1]
  flat[#flat + 1] = record[2][2]
end
return flat
""")
"""Records as a flat list of id, data, id, data: the same shape through every client."""
