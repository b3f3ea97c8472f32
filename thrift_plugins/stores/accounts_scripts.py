"""The rules of `accounts_rules`, as scripts for a server. No text of a user ever becomes part of a script.

A book is three keys: a hash with the accounts (`a:NAME`, see `Sheet.text`), the leases (`l:NAME`) and where the last look
for stale accounts ended (`c`); a sorted set of the leases by when each is an orphan or forgotten; and a list of orphans.

A lease is its state (open, reaped, done), and a line for each hold: account, limit, window, rolling, amount, hard, charge of an orphan, window's
number. Every script answers in one string, and begins with KEYS: hash, sorted set, list.
"""

from __future__ import annotations

from typing import Final

from thrift_plugins.stores.accounts_rules import REAPED_ON_THE_WAY, TELL
from thrift_plugins.stores.accounts_sheet import DAY, KEEP_CALL, KEEP_RUN, KEPT, SLICES
from thrift_plugins.stores.redis_scripts import Script

_REMEMBER_S: Final = 60
"""A lease that was settled, or taken back before it came, is known for so long: both may be asked for twice."""
_SWEEP_EVERY: Final = 512
"""Reservations between two looks for accounts that nobody will ask for again, on average."""

_COMMON: Final = f"""
local SLICES, KEPT, DAY = {SLICES}, {KEPT}, {DAY}
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local function int(number) return string.format('%.0f', number) end

-- Days from 1970 to the first of a month that is counted from the year 0: the calendar repeats in 400 years, from March.
local function month_begins(month)
  local year, from_march = math.floor((month - 2) / 12), (month - 2) % 12
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local day = math.floor((153 * from_march + 2) / 5)
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + day - 719468
end

local function month_of(days)
  local month = math.floor((days + 719468) / 30.436875)
  while month_begins(month + 1) <= days do month = month + 1 end
  while month_begins(month) > days do month = month - 1 end
  return month
end

-- Number, end, and until when the account may be asked for again; an end of -1 never comes.
local function moment(hold)
  if hold.rolling > 0 then return math.floor(now * SLICES / hold.rolling), now, now + 2 * hold.rolling + DAY end
  local length = hold.window == 'hour' and 3600 or hold.window == 'day' and DAY
  if length then
    local number = math.floor(now / length)
    return number, (number + 1) * length, (number + 2) * length + DAY
  end
  if hold.window == 'month' then
    local month = month_of(math.floor(now / DAY))
    local ends = month_begins(month + 1) * DAY
    return month, ends, ends + 32 * DAY
  end
  return 0, -1, hold.window == 'call' and now + {KEEP_CALL} or hold.window == 'run' and now + {KEEP_RUN} or 2^53
end

local function read_sheet(text)
  local sheet = {{floor = -1, keep = 0, lines = {{}}}}
  if text then
    local floor, keep, rest = string.match(text, '^(%S+) (%S+)(.*)$')
    sheet.floor, sheet.keep = tonumber(floor), tonumber(keep)
    for number, used, held in string.gmatch(rest, '(%d+):(%-?%d+):(%-?%d+)') do
      sheet.lines[tonumber(number)] = {{tonumber(used), tonumber(held)}}
    end
  end
  return sheet
end

local function sheet_text(sheet)
  local words = {{int(sheet.floor), int(sheet.keep)}}
  for number, line in pairs(sheet.lines) do
    words[#words + 1] = int(number) .. ':' .. int(line[1]) .. ':' .. int(line[2])
  end
  return table.concat(words, ' ')
end

local function read_hold(text)
  local hold = {{text = text}}
  local limit, rolling, amount, charge, number
  hold.account, limit, hold.window, rolling, amount, hold.hard, charge, number =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) ?(%S*)$')
  hold.limit, hold.rolling, hold.amount = tonumber(limit), tonumber(rolling), tonumber(amount)
  hold.charge, hold.number = tonumber(charge), tonumber(number)
  return hold
end

-- State, and holds.
local function read_lease(text)
  local state, holds = string.match(text, '^%S+'), {{}}
  for line in string.gmatch(text, '\\n([^\\n]+)') do holds[#holds + 1] = read_hold(line) end
  return state, holds
end

local function sheets_of(holds, first)
  local fields = {{first}}
  for _, hold in ipairs(holds) do fields[#fields + 1] = 'a:' .. hold.account end
  local found, sheets = redis.call('HMGET', KEYS[1], unpack(fields)), {{}}
  local offset = #fields - #holds
  for i, hold in ipairs(holds) do sheets[hold.account] = read_sheet(found[i + offset]) end
  return sheets, found[1]
end

local function number_in(sheet, number)
  if number > sheet.floor then return number end
  local oldest
  for each in pairs(sheet.lines) do
    if each > sheet.floor and (not oldest or each < oldest) then oldest = each end
  end
  return oldest or sheet.floor + 1
end

-- Used, held, and when that resets.
local function standing(sheet, hold)
  local number, ends = moment(hold)
  number = number_in(sheet, number)
  if hold.rolling == 0 then
    local line = sheet.lines[number]
    return line and line[1] or 0, line and line[2] or 0, ends
  end
  local used, held, oldest = 0, 0, nil
  for each, line in pairs(sheet.lines) do
    if each >= number - SLICES and (line[1] ~= 0 or line[2] ~= 0) then
      used, held = used + line[1], held + line[2]
      if not oldest or each < oldest then oldest = each end
    end
  end
  return used, held, oldest and (oldest + 1 + SLICES) * hold.rolling / SLICES or now
end

-- Forget all windows before the first, or where none is named all but the latest; not those in which something is held.
local function prune(sheet, first)
  local known = {{}}
  for number in pairs(sheet.lines) do known[#known + 1] = number end
  table.sort(known)
  for i, number in ipairs(known) do
    if first and number >= first or not first and i > #known - KEPT + 1 then return end
    if sheet.lines[number][2] == 0 then
      sheet.lines[number] = nil
      if number > sheet.floor then sheet.floor = number end
    end
  end
end

-- Set an amount aside; the window's number.
local function take(sheet, hold)
  local number, _, keep = moment(hold)
  number = number_in(sheet, number)
  local line = sheet.lines[number]
  if not line or line[1] == 0 and line[2] == 0 then
    prune(sheet, hold.rolling > 0 and number - SLICES or nil)
    line = {{0, 0}}
    sheet.lines[number] = line
  end
  line[2] = line[2] + hold.amount
  if keep > sheet.keep then sheet.keep = math.ceil(keep) end
  return number
end

local function charge(sheet, number, release, amount)
  local line = sheet.lines[number]
  if not line then
    if number <= sheet.floor then return end
    line = {{0, 0}}
    sheet.lines[number] = line
  end
  line[1], line[2] = line[1] + amount, line[2] - release
end

local function keep(sheets, fields)
  for account, sheet in pairs(sheets) do
    fields[#fields + 1] = 'a:' .. account
    fields[#fields + 1] = sheet_text(sheet)
  end
  redis.call('HSET', KEYS[1], unpack(fields))
end

-- Charge one orphan as its holds say.
local function orphan(name, text, holds)
  local sheets = sheets_of(holds)
  for _, hold in ipairs(holds) do
    charge(sheets[hold.account], hold.number, hold.amount, hold.charge)
    redis.call('RPUSH', KEYS[3], hold.account .. ' ' .. int(hold.charge) .. ' ' .. int(now) .. ' ' .. name)
  end
  redis.call('LTRIM', KEYS[3], -{TELL}, -1)
  keep(sheets, {{'l:' .. name, 'reaped' .. string.sub(text, 5)}})
  redis.call('ZADD', KEYS[2], int((now + DAY) * 1000), name)
end

-- Close open leases whose time is over, and forget others.
local function close_due(limit)
  local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', int(now * 1000), 'LIMIT', 0, limit)
  if #due == 0 then return end
  local fields, gone = {{}}, {{}}
  for i, name in ipairs(due) do fields[i] = 'l:' .. name end
  for i, text in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do
    local state, holds = read_lease(text or '')
    if state == 'open' then orphan(due[i], text, holds) else gone[#gone + 1] = i end
  end
  if #gone == 0 then return end
  for i, index in ipairs(gone) do fields[i], due[i] = fields[index], due[index] end
  redis.call('HDEL', KEYS[1], unpack(fields, 1, #gone))
  redis.call('ZREM', KEYS[2], unpack(due, 1, #gone))
end

-- Forget accounts that nobody will ask for again.
local function sweep(count)
  local page = redis.call('HSCAN', KEYS[1], redis.call('HGET', KEYS[1], 'c') or '0', 'COUNT', count)
  for i = 1, #page[2], 2 do
    if string.sub(page[2][i], 1, 2) == 'a:' then
      local sheet, held = read_sheet(page[2][i + 1]), false
      for _, line in pairs(sheet.lines) do held = held or line[2] ~= 0 end
      if sheet.keep <= now and not held then redis.call('HDEL', KEYS[1], page[2][i]) end
    end
  end
  if page[1] == '0' then redis.call('HDEL', KEYS[1], 'c') else redis.call('HSET', KEYS[1], 'c', page[1]) end
end

local function told(words, holds, sheets)
  for _, hold in ipairs(holds) do
    local used, held, resets = standing(sheets[hold.account], hold)
    words[#words + 1] = int(used)
    words[#words + 1] = int(held)
    words[#words + 1] = string.format('%.6f', resets)
  end
  return table.concat(words, ' ')
end
"""

RESERVE: Final = Script(
    _COMMON
    + f"""
-- ARGV: lease, seconds to live, holds. '1 -1' or '0 INDEX', and used, held, resets for each hold
close_due({REAPED_ON_THE_WAY})
if time[2] % {_SWEEP_EVERY} == 0 then sweep(64) end
local lease, holds = 'l:' .. ARGV[1], {{}}
for i = 3, #ARGV do holds[i - 2] = read_hold(ARGV[i]) end
local sheets, known = sheets_of(holds, lease)
if known then
  return told(string.sub(known, 1, 4) == 'open' and {{'1', '-1'}} or {{'0', '0'}}, holds, sheets)
end
local taken = {{}}
for i, hold in ipairs(holds) do
  local used, held = standing(sheets[hold.account], hold)
  local before = taken[hold.account] or 0
  if hold.hard == '1' and hold.amount > hold.limit - used - held - before then
    return told({{'0', int(i - 1)}}, holds, sheets)
  end
  taken[hold.account] = before + hold.amount
end
local lines = {{'open'}}
for _, hold in ipairs(holds) do lines[#lines + 1] = hold.text .. ' ' .. int(take(sheets[hold.account], hold)) end
keep(sheets, {{lease, table.concat(lines, '\\n')}})
redis.call('ZADD', KEYS[2], int((now + ARGV[2]) * 1000), ARGV[1])
return told({{'1', '-1'}}, holds, sheets)
"""
)

SETTLE: Final = Script(
    _COMMON
    + f"""
-- ARGV: lease, amounts; none takes the reservation back, also one that comes later.
-- Account, limit, used, held, resets for each hold; 'done' where it was settled before, empty where nothing is known of it
local lease = 'l:' .. ARGV[1]
local text = redis.call('HGET', KEYS[1], lease)
local state, holds = read_lease(text or '')
if state == 'done' or not text and #ARGV > 1 then return state or '' end
local sheets, words = sheets_of(holds, 'c'), {{}}
for i, hold in ipairs(holds) do
  local open = state == 'open'
  charge(sheets[hold.account], hold.number, open and hold.amount or 0, (ARGV[i + 1] or 0) - (open and 0 or hold.charge))
end
keep(sheets, {{lease, 'done'}})
redis.call('ZADD', KEYS[2], int((now + {_REMEMBER_S}) * 1000), ARGV[1])
for i, hold in ipairs(holds) do
  words[i] = hold.account .. ' ' .. int(hold.limit) .. ' ' .. told({{}}, {{hold}}, sheets)
end
return table.concat(words, ' ')
"""
)

RENEW: Final = Script("""
-- KEYS: hash, sorted set. ARGV: lease, seconds to live. 1: it is open, 0: not
local text = redis.call('HGET', KEYS[1], 'l:' .. ARGV[1])
if not text or string.sub(text, 1, 4) ~= 'open' then return 0 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', (time[1] + time[2] / 1000000 + ARGV[2]) * 1000), ARGV[1])
return 1
""")

STANDING: Final = Script(
    _COMMON
    + """
-- ARGV: holds. Used, held, resets for each hold
local holds = {}
for i = 1, #ARGV do holds[i] = read_hold(ARGV[i]) end
return told({}, holds, (sheets_of(holds, 'c')))
"""
)

REAP: Final = Script(
    _COMMON
    + """
-- ARGV: how many. Orphans, each as account, charge, time, lease
close_due(tonumber(ARGV[1]))
sweep(512)
local orphans = redis.call('LRANGE', KEYS[3], 0, ARGV[1] - 1)
redis.call('LTRIM', KEYS[3], ARGV[1], -1)
return orphans
"""
)
