"""The rules of `accounts_rules`, as scripts for a server. No text of a user ever becomes part of a script.

A book is three keys. A hash with, for each window of an account, `u ACCOUNT NUMBER` (used) and `h ACCOUNT NUMBER` (held);
for each account, `m ACCOUNT` (its floor and the numbers of its windows) and `k ACCOUNT` (until when it may be asked for);
the leases, `l NAME` (open, reaped or done, and the lines of `accounts_lines`); and `c`, where the last look for stale
accounts ended. A sorted set of the leases by when each is an orphan or forgotten. A list of orphans.

Every script begins with KEYS: hash, sorted set, list. The asker says which window it takes it to be, and from when to when
that is so; where the server's clock disagrees, the answer is `@` and the server's time. So a calendar is needed by the
asker alone, and the clock is the server's all the same.
"""

from __future__ import annotations

from typing import Final

from thrift_plugins.stores.accounts import AGAIN
from thrift_plugins.stores.accounts_rules import REAPED_ON_THE_WAY, TELL
from thrift_plugins.stores.accounts_sheet import DAY, HOUR, KEEP_CALL, KEEP_RUN, KEPT, SLICES
from thrift_plugins.stores.redis_scripts import Script

_REMEMBER_S: Final = 60
"""A lease that was settled, or taken back before it came, is known for so long: both may be asked for twice."""
_TEND_EVERY: Final = 64
"""Reservations, on average, between two that close a few leases whose time is over..."""
_SWEEP_EVERY: Final = 512
"""... and between two looks for accounts that nobody will ask for again."""

_TIME: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""

_BOUNDS: Final = """
if now < tonumber(ARGV[1]) or now >= tonumber(ARGV[2]) then return string.format('@%.6f', now) end
"""

_COMMON: Final = f"""
local SLICES, KEPT, DAY = {SLICES}, {KEPT}, {DAY}
local KEEP = {{hour = {2 * HOUR + DAY}, day = {3 * DAY}, month = {63 * DAY}, run = {KEEP_RUN}, call = {KEEP_CALL}, total = 9e15}}
local book = KEYS[1]

local function int(number) return string.format('%.0f', number) end

-- The floor of an account, and the numbers of its windows in order.
local function known(account)
  local numbers = {{}}
  for word in string.gmatch(redis.call('HGET', book, 'm ' .. account) or '-1', '%S+') do
    numbers[#numbers + 1] = tonumber(word)
  end
  return table.remove(numbers, 1), numbers
end

local function keep_known(account, floor, numbers)
  table.sort(numbers)
  local words = {{int(floor)}}
  for _, number in ipairs(numbers) do words[#words + 1] = int(number) end
  redis.call('HSET', book, 'm ' .. account, table.concat(words, ' '))
end

-- The window in which to reserve: the clock's, or after a jump back beyond all that is known the oldest known.
local function number_in(floor, numbers, number)
  if number > floor then return number end
  for _, each in ipairs(numbers) do
    if each > floor then return each end
  end
  return floor + 1
end

-- Forget windows that are over: all before the first, or where none is named all but the latest. Not those that hold.
local function pruned(account, floor, numbers, first)
  local left = {{}}
  for i, number in ipairs(numbers) do
    local place = account .. ' ' .. int(number)
    local over = first and number < first or not first and i <= #numbers - KEPT + 1
    if over and redis.call('HGET', book, 'h ' .. place) == '0' then
      redis.call('HDEL', book, 'u ' .. place, 'h ' .. place)
      floor = math.max(floor, number)
    else
      left[#left + 1] = number
    end
  end
  return floor, left
end

-- Begin a window, if it has not begun.
local function begin(hold)
  local place = hold.account .. ' ' .. int(hold.number)
  local keep = hold.rolling > 0 and 2 * hold.rolling + DAY or KEEP[hold.window]
  redis.call('HSET', book, 'k ' .. hold.account, int(now + keep))
  if redis.call('HEXISTS', book, 'u ' .. place) == 1 then return end
  local floor, numbers = known(hold.account)
  floor, numbers = pruned(hold.account, floor, numbers, hold.rolling > 0 and hold.number - SLICES or nil)
  numbers[#numbers + 1] = hold.number
  keep_known(hold.account, floor, numbers)
  redis.call('HSET', book, 'u ' .. place, '0', 'h ' .. place, '0')
end

-- Account, number, limit, amount, charge of an orphan, whether hard, window, rolling; the number of a slice is the clock's.
local function read(lines)
  local holds = {{}}
  for account, number, rest in string.gmatch(lines, '(%S+) (%S+) ([^\\n]+)') do
    local limit, amount, charge, hard, window, rolling = string.match(rest, '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
    local hold = {{account = account, rest = rest, limit = tonumber(limit), amount = tonumber(amount),
      charge = tonumber(charge), hard = hard == '1', window = window, rolling = tonumber(rolling)}}
    hold.number = tonumber(number) or math.floor(now * SLICES / hold.rolling)
    holds[#holds + 1] = hold
  end
  return holds
end

local function written(state, holds)
  local words = {{state}}
  for i, hold in ipairs(holds) do words[i + 1] = hold.account .. ' ' .. int(hold.number) .. ' ' .. hold.rest end
  return table.concat(words, '\\n')
end

-- Used, held, and the oldest slice of a rolling window in which something is; -1 for none.
local function standing(hold)
  local floor, numbers = known(hold.account)
  local number, used, held, oldest = number_in(floor, numbers, hold.number), 0, 0, -1
  if hold.rolling == 0 then
    local place = hold.account .. ' ' .. int(number)
    local found = redis.call('HMGET', book, 'u ' .. place, 'h ' .. place)
    return tonumber(found[1] or 0), tonumber(found[2] or 0), oldest
  end
  for _, each in ipairs(numbers) do
    if each >= number - SLICES then
      local place = hold.account .. ' ' .. int(each)
      local found = redis.call('HMGET', book, 'u ' .. place, 'h ' .. place)
      if found[1] ~= '0' or found[2] ~= '0' then
        used, held = used + found[1], held + found[2]
        if oldest < 0 then oldest = each end
      end
    end
  end
  return used, held, oldest
end

local function told(words, holds)
  for _, hold in ipairs(holds) do
    local used, held, oldest = standing(hold)
    words[#words + 1] = int(used)
    words[#words + 1] = int(held)
    words[#words + 1] = int(oldest)
  end
  return table.concat(words, ' ')
end

-- Give back what was held in a window, and charge it. Of a forgotten window, nothing is left to correct.
local function charge(hold, release, amount)
  local place = hold.account .. ' ' .. int(hold.number)
  if redis.call('HEXISTS', book, 'u ' .. place) == 0 then
    if hold.number <= known(hold.account) then return end
    begin(hold)
  end
  redis.call('HINCRBY', book, 'u ' .. place, int(amount))
  redis.call('HINCRBY', book, 'h ' .. place, int(0 - release))
end

-- Close open leases whose time is over, and forget others. Whether there were any.
local function close_due(limit)
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now * 1000, 'LIMIT', 0, limit)
  for _, name in ipairs(due) do
    local text = redis.call('HGET', book, 'l ' .. name) or ''
    if string.sub(text, 1, 4) == 'open' then
      local holds = read(string.sub(text, 6))
      for _, hold in ipairs(holds) do
        charge(hold, hold.amount, hold.charge)
        redis.call('RPUSH', KEYS[3], hold.account .. ' ' .. int(hold.charge) .. ' ' .. int(now) .. ' ' .. name)
      end
      redis.call('LTRIM', KEYS[3], -{TELL}, -1)
      redis.call('HSET', book, 'l ' .. name, written('reaped', holds))
      redis.call('ZADD', KEYS[2], int((now + DAY) * 1000), name)
    else
      redis.call('HDEL', book, 'l ' .. name)
      redis.call('ZREM', KEYS[2], name)
    end
  end
  return #due > 0
end

-- Forget an account, unless something is held.
local function forget(account)
  local _, numbers = known(account)
  local fields = {{'m ' .. account, 'k ' .. account}}
  for _, number in ipairs(numbers) do
    local place = account .. ' ' .. int(number)
    if redis.call('HGET', book, 'h ' .. place) ~= '0' then return end
    fields[#fields + 1] = 'u ' .. place
    fields[#fields + 1] = 'h ' .. place
  end
  redis.call('HDEL', book, unpack(fields))
end

-- Forget accounts that nobody will ask for again.
local function sweep(count)
  local page = redis.call('HSCAN', book, redis.call('HGET', book, 'c') or '0', 'COUNT', count)
  for i = 1, #page[2], 2 do
    local field = page[2][i]
    if string.sub(field, 1, 2) == 'k ' and tonumber(page[2][i + 1]) <= now then forget(string.sub(field, 3)) end
  end
  if page[1] == '0' then redis.call('HDEL', book, 'c') else redis.call('HSET', book, 'c', page[1]) end
end
"""

_RESERVE_AS_USUAL: Final = f"""
if time[2] % {_TEND_EVERY} > 0 then
  local fields, limits, amounts, count = {{'l ' .. ARGV[3]}}, {{}}, {{}}, 0
  for place, limit, amount, hard in string.gmatch(ARGV[5], '\\n(%S+ %d+) (%d+) (%d+) %d+ (%d)') do
    count = count + 1
    fields[2 * count], fields[2 * count + 1] = 'u ' .. place, 'h ' .. place
    limits[count], amounts[count] = hard == '1' and limit or 1e300, amount
  end
  local found = redis.call('HMGET', KEYS[1], unpack(fields))
  local changes, fits = {{fields[1], ARGV[5]}}, not found[1]
  for i = 1, fits and count or 0 do
    local used, held, amount = found[2 * i], found[2 * i + 1], amounts[i]
    fits = used and amount - (limits[i] - used - held) <= 0
    if not fits then break end
    changes[2 * i + 1], changes[2 * i + 2] = fields[2 * i + 1], held + amount
  end
  if fits then
    redis.call('HSET', KEYS[1], unpack(changes))
    redis.call('ZADD', KEYS[2], (now + ARGV[4]) * 1000, ARGV[3])
    return table.concat(found, ' ', 2)
  end
end
"""
"""A new lease that fits, in windows that have begun, none of them rolling or of a run, no account twice."""

_RESERVE_BY_THE_RULES: Final = f"""
if time[2] % {_TEND_EVERY} == 0 then close_due({2 * _TEND_EVERY}) end
if time[2] % {_SWEEP_EVERY} == 0 then sweep(64) end
local lease, holds = 'l ' .. ARGV[3], read(string.sub(ARGV[5], 6))
local before = redis.call('HGET', book, lease)
local state = before and string.match(before, '^%a+')
if state and string.sub(ARGV[3], 1, {len(AGAIN)}) == '{AGAIN}' then  -- the call goes on, or is made once more
  if state == 'reaped' then
    local old = read(string.sub(before, #state + 2))
    for _, hold in ipairs(old) do charge(hold, 0 - hold.amount, 0 - hold.charge) end
    redis.call('HSET', book, lease, written('open', old))
    state = 'open'
  end
  if state == 'open' then
    redis.call('ZADD', KEYS[2], (now + ARGV[4]) * 1000, ARGV[3])
    return told({{'open'}}, holds)
  end
  state = nil
end
if state then return told(state == 'open' and {{'granted'}} or {{'refused', '0'}}, holds) end

local function first_too_large()
  local taken = {{}}
  for i, hold in ipairs(holds) do
    local used, held = standing(hold)
    local others = taken[hold.account] or 0
    if hold.hard and hold.amount > hold.limit - used - held - others then return i end
    taken[hold.account] = others + hold.amount
  end
end

local refused = first_too_large()
if refused and close_due({REAPED_ON_THE_WAY}) then refused = first_too_large() end
if refused then return told({{'refused', int(refused - 1)}}, holds) end
for _, hold in ipairs(holds) do
  local floor, numbers = known(hold.account)
  hold.number = number_in(floor, numbers, hold.number)
  begin(hold)
  redis.call('HINCRBY', book, 'h ' .. hold.account .. ' ' .. int(hold.number), int(hold.amount))
end
redis.call('HSET', book, lease, written('open', holds))
redis.call('ZADD', KEYS[2], (now + ARGV[4]) * 1000, ARGV[3])
return told({{'granted'}}, holds)
"""

RESERVE: Final = Script(_TIME + _BOUNDS + _COMMON + _RESERVE_BY_THE_RULES)
"""ARGV: from, until, lease, seconds to live, 'open' and the lines. 'granted', 'open' as it was before, or 'refused INDEX', and used, held
and oldest slice of each hold as they are."""

RESERVE_AS_USUAL: Final = Script(_TIME + _BOUNDS + _RESERVE_AS_USUAL + _COMMON + _RESERVE_BY_THE_RULES)
"""The same; or used and held of each hold, as they were."""

SETTLE: Final = Script(
    _TIME
    + f"""
-- ARGV: from and until when the windows that were reserved in are those of the moment, lease, amounts; without amounts,
-- the reservation is taken back, also one that comes later.
-- Used and held of each hold as they were, if they are those of the moment; else '-' and what the lease was;
-- 'done' where it was settled before, empty where nothing is known of it, '!' and the number of holds for other amounts
local lease = 'l ' .. ARGV[3]
local text = redis.call('HGET', KEYS[1], lease)
local state = text and string.match(text, '^%a+')
if state == 'done' or not text and ARGV[4] then return state or '' end
local given = {{}}
for word in string.gmatch(ARGV[4] or '', '%d+') do given[#given + 1] = word end

if state == 'open' and now >= tonumber(ARGV[1]) and now < tonumber(ARGV[2]) then
  local fields, amounts, count = {{}}, {{}}, 0
  for place, amount in string.gmatch(text, '\\n(%S+ %d+) %d+ (%d+)') do
    count = count + 1
    fields[2 * count - 1], fields[2 * count], amounts[count] = 'u ' .. place, 'h ' .. place, amount
  end
  local found, changes = redis.call('HMGET', KEYS[1], unpack(fields)), {{lease, 'done'}}
  local fits = count == #given
  for i = 1, fits and count or 0 do
    local used, held = found[2 * i - 1], found[2 * i]
    fits = used
    if not fits then break end
    changes[4 * i - 1], changes[4 * i] = fields[2 * i - 1], used + given[i]
    changes[4 * i + 1], changes[4 * i + 2] = fields[2 * i], held - amounts[i]
  end
  if fits then
    redis.call('HSET', KEYS[1], unpack(changes))
    redis.call('ZADD', KEYS[2], (now + {_REMEMBER_S}) * 1000, ARGV[3])
    return table.concat(found, ' ')
  end
end
"""
    + _COMMON
    + f"""
local holds = read(string.sub(text or '', #(state or '') + 2))
if ARGV[4] and #given ~= #holds then return '!' .. #holds end
for i, hold in ipairs(holds) do
  local amount = tonumber(given[i] or 0)
  if state == 'open' then charge(hold, hold.amount, amount) else charge(hold, 0, amount - hold.charge) end
end
redis.call('HSET', book, lease, 'done')
redis.call('ZADD', KEYS[2], (now + {_REMEMBER_S}) * 1000, ARGV[3])
return '-' .. string.sub(text or '', #(state or '') + 2)
"""
)

RENEW: Final = Script("""
-- KEYS: hash, sorted set. ARGV: lease, seconds to live. 1: it is open, 0: not
local text = redis.call('HGET', KEYS[1], 'l ' .. ARGV[1])
if not text or string.sub(text, 1, 4) ~= 'open' then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], (time[1] + time[2] / 1000000 + ARGV[2]) * 1000, ARGV[1])
return 1
""")

TRIM: Final = Script("""
-- KEYS: hash. ARGV: lease, for each hold what it still needs to hold. 1: it holds no more, 0: it is not open
local text = redis.call('HGET', KEYS[1], 'l ' .. ARGV[1])
if not text or string.sub(text, 1, 4) ~= 'open' then return 0 end
local given, words = {}, {'open'}
for word in string.gmatch(ARGV[2], '%d+') do given[#given + 1] = tonumber(word) end
for place, limit, amount, charge, rest in string.gmatch(text, '\\n(%S+ %d+) (%d+) (%d+) (%d+) ([^\\n]+)') do
  local held = tonumber(amount)
  local keep = math.min(held, given[#words] or held)
  if keep < held then redis.call('HINCRBY', KEYS[1], 'h ' .. place, string.format('%.0f', keep - held)) end
  words[#words + 1] = table.concat({
    place, limit, string.format('%.0f', keep), string.format('%.0f', math.min(tonumber(charge), keep)), rest}, ' ')
end
redis.call('HSET', KEYS[1], 'l ' .. ARGV[1], table.concat(words, '\\n'))
return 1
""")

STANDING: Final = Script(
    _TIME
    + _BOUNDS
    + _COMMON
    + """
-- ARGV: from, until, 'open' and the lines. Used, held, oldest slice for each hold
return told({}, read(string.sub(ARGV[3], 6)))
"""
)

REAP: Final = Script(
    _TIME
    + _COMMON
    + """
-- ARGV: how many. Orphans, each as account, charge, time, lease
close_due(tonumber(ARGV[1]))
sweep(512)
local orphans = redis.call('LRANGE', KEYS[3], 0, ARGV[1] - 1)
redis.call('LTRIM', KEYS[3], ARGV[1], -1)
return orphans
"""
)
