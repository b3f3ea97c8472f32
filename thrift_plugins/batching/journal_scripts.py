"""What must happen in one step to a journal on a server. No text of a user ever becomes part of a script.

The keys of a journal, all in one slot:

    lease     number of the worker that leads; it expires where its holder does not renew it
    facts     hash: account, encrypted, check; counters: fence (of leases), seq (of lines and answers), batches, stops
    queue     sorted set of the lines that wait to be sent, by when they were admitted
    open      hash of the lines that are not answered: address, size
    bodies    hash of their prompts
    dues      hash: by when a line is wanted, as "worker=time worker=time", for those that have a deadline
    moved     sorted set of the lines that were asked again with a deadline, by when
    workers   sorted set of the workers, by the millisecond until which each is known to be there
    asked     hash: how often the journal had been stopped when a line was asked last, where it had been
    tries     hash: how often a line was given to a batch before
    fails     hash: how often a line failed in passing, and the attempt for which that was counted last
    spoilt    hash: how often a line was in a batch that failed as a whole, and the same
    answers   hash of the answers
    bad       set of the lines whose answer is an error
    booked    hash: by what call a line's cost is booked, '' where that has no name
    paid      hash: the same, the other way round
    done      sorted set of the answered lines, by when they were
    ages      sorted set of "first:last" in `done` that were answered together, by the asker's time
    batches   hash: number to JSON
    remotes   hash: the provider's id of a batch to its number
    sums      hash: "number:what" to what a batch's answers come to
    told      sorted set of incidents as JSON, by time
    members   sorted set of the lines of one batch, each with its score in `queue`

What only a leader may do begins with its number and its lease in milliseconds, and answers nil where another one leads.
"""

from __future__ import annotations

from typing import Final

from thrift_plugins.stores.redis_scripts import Script

NAMES: Final = (
    "lease", "facts", "queue", "open", "dues", "moved", "workers", "bodies", "asked", "tries", "fails", "spoilt", "answers", "bad", "booked", "paid", "done", "ages", "batches", "remotes",
    "sums", "told", "members",
)  # fmt: skip

_KEYS: Final = f"""
local {", ".join(NAMES)} = unpack(KEYS)
"""

_LEADER: Final = f"""{_KEYS}
if redis.call('GET', lease) ~= ARGV[1] then return false end
redis.call('PEXPIRE', lease, ARGV[2])
"""

_DUE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function here(worker)
  return tonumber(redis.call('ZSCORE', workers, worker) or 0) > now
end
local function stay(worker, lease)
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', now)
  redis.call('ZADD', workers, now + lease, worker)
end
local function earlier(one, other)
  return other == '' or (one ~= '' and tonumber(one) < tonumber(other))
end
-- By when a line is wanted: the earliest of those who are there, or else of those who were; and whether somebody is.
local function due(key)
  local first, wanted = '', ''
  for worker, time in string.gmatch(redis.call('HGET', dues, key) or '', '(%S+)=(%S+)') do
    if earlier(time, first) then first = time end
    if here(worker) and earlier(time, wanted) then wanted = time end
  end
  if wanted ~= '' then return wanted, '1' end
  return first, ''
end
"""

_DROP: Final = """
-- An answer is there no more.
local function drop(key)
  local call = redis.call('HGET', booked, key)
  if call then redis.call('HDEL', paid, call) end
  redis.call('HDEL', booked, key)
  redis.call('HDEL', answers, key)
  redis.call('ZREM', done, key)
end
"""

_ASK: Final = f"""{_DUE}
-- A worker asks for a line by a time, or '': then by what it said before, or what those have left who are gone, if none is there.
local function ask(key, stops, worker, time)
  if tonumber(redis.call('HGET', asked, key) or 0) < tonumber(stops) then redis.call('HSET', asked, key, stops) end
  local kept, own, left = {{}}, '', ''
  for who, when in string.gmatch(redis.call('HGET', dues, key) or '', '(%S+)=(%S+)') do
    if who == worker then
      own = when
    elseif here(who) then
      kept[#kept + 1] = who .. '=' .. when
    elseif earlier(when, left) then
      left = when
    end
  end
  if time == '' then time = own end
  if time == '' and #kept == 0 then time = left end
  if time ~= '' then kept[#kept + 1] = worker .. '=' .. time end
  if #kept > 0 then redis.call('HSET', dues, key, table.concat(kept, ' ')) end
  return #kept > 0
end
"""

LEAD: Final = Script(f"""{_KEYS}
-- ARGV: the number that was held or '', milliseconds
local held = redis.call('GET', lease)
if ARGV[1] ~= '' then
  if held ~= ARGV[1] then return '' end
  redis.call('PEXPIRE', lease, ARGV[2])
  return held
end
if held then return '' end
local number = redis.call('HINCRBY', facts, 'fence', 1)
redis.call('SET', lease, number, 'PX', ARGV[2])
return tostring(number)
""")
"""Take the lease, or keep it. Its number, '' where another one has it, or it was lost in between."""

RESIGN: Final = Script(f"""{_LEADER}
return redis.call('DEL', lease)
""")
"""Let another one lead."""

NOTE_FACTS: Final = Script(f"""{_KEYS}
-- ARGV: name and value of each fact
for i = 1, #ARGV, 2 do redis.call('HSETNX', facts, ARGV[i], ARGV[i + 1]) end
return redis.call('HGETALL', facts)
""")
"""Note facts that are not known yet. All facts."""

LOOK: Final = Script(f"""{_KEYS}
-- ARGV: keys of lines
local told = {{}}
for i, key in ipairs(ARGV) do
  local answer = redis.call('HGET', answers, key)
  told[#ARGV + i] = redis.call('HEXISTS', booked, key)
  if answer and redis.call('SISMEMBER', bad, key) == 0 then
    told[i] = answer
  elseif answer then
    told[i] = 'bad'
  else
    told[i] = redis.call('HEXISTS', open, key) == 1 and 'open' or ''
  end
end
return told
""")
"""How lines stand: their answer, 'bad' where that is an error, 'open', '' where they were never asked. Then for each whether its cost
is booked."""

BOOK: Final = Script(f"""{_KEYS}
-- ARGV: key and name of the call of each
for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', answers, ARGV[i]) == 1 then
    redis.call('HSET', booked, ARGV[i], ARGV[i + 1])
    if ARGV[i + 1] ~= '' then redis.call('HSET', paid, ARGV[i + 1], ARGV[i]) end
  end
end
return 1
""")
"""Note that the cost of lines is booked."""

ADMIT: Final = Script(f"""{_KEYS}{_ASK}{_DROP}
-- ARGV: how often it had been stopped, worker, milliseconds, then key, address and size, prompt, deadline or '' of each line
stay(ARGV[2], ARGV[3])
for i = 4, #ARGV, 4 do
  local key = ARGV[i]
  if redis.call('SREM', bad, key) == 1 then
    drop(key)
    redis.call('HINCRBY', tries, key, 1)
  end
  if redis.call('HEXISTS', answers, key) == 0 and redis.call('HSETNX', open, key, ARGV[i + 1]) == 1 then
    redis.call('HSET', bodies, key, ARGV[i + 2])
    redis.call('ZADD', queue, redis.call('HINCRBY', facts, 'seq', 1), key)
    ask(key, ARGV[1], ARGV[2], ARGV[i + 3])
  elseif redis.call('HEXISTS', open, key) == 1 and ask(key, ARGV[1], ARGV[2], ARGV[i + 3]) then
    redis.call('ZADD', moved, redis.call('HINCRBY', facts, 'seq', 1), key)
  end
end
return 1
""")
"""Queue lines that are not under way and have no answer, or an error alone."""

AGAIN: Final = Script(f"""{_KEYS}{_ASK}
-- ARGV: how often it had been stopped, worker, milliseconds, then key, deadline or '' of each line
local gone = {{}}
stay(ARGV[2], ARGV[3])
for i = 4, #ARGV, 2 do
  local key = ARGV[i]
  if redis.call('HEXISTS', open, key) == 0 then
    gone[#gone + 1] = key
  elseif ask(key, ARGV[1], ARGV[2], ARGV[i + 1]) then
    redis.call('ZADD', moved, redis.call('HINCRBY', facts, 'seq', 1), key)
  end
end
return gone
""")
"""Note that lines that are under way were asked again. The keys of those that are not under way any more."""

STOPPED: Final = Script(f"""{_KEYS}
-- ARGV: keys of lines
local stops = tonumber(redis.call('HGET', facts, 'stops') or 0)
local told = {{}}
for _, key in ipairs(ARGV) do
  if tonumber(redis.call('HGET', asked, key) or 0) < stops then told[#told + 1] = key end
end
return told
""")
"""Those that nobody has asked since the journal was stopped last."""

FRESH: Final = Script(f"""{_KEYS}{_DUE}
-- ARGV: the last place that was seen, how many at most
local told = {{}}
local waiting = redis.call('ZRANGEBYSCORE', queue, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #waiting, 2 do
  local time, wanted = due(waiting[i])
  for _, word in ipairs({{waiting[i], redis.call('HGET', open, waiting[i]), time, wanted, waiting[i + 1]}}) do
    told[#told + 1] = word
  end
end
return told
""")
"""Key, address and size, deadline or '', '1' where it counts, and place of the next lines that wait."""

MOVED: Final = Script(f"""{_KEYS}{_DUE}
-- ARGV: the last place that was seen, how many at most
local told = {{}}
local again = redis.call('ZRANGEBYSCORE', moved, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #again, 2 do
  local time = due(again[i])
  for _, word in ipairs({{again[i], time, again[i + 1]}}) do told[#told + 1] = word end
end
return told
""")
"""Key, deadline and place of the next lines that were asked again."""

NEWS: Final = Script(f"""{_KEYS}{_DUE}
-- ARGV: the last place that was heard of, how many at most, worker, milliseconds
if redis.call('HEXISTS', facts, 'account') == 0 then return 'gone' end
stay(ARGV[3], ARGV[4])
return redis.call('ZRANGEBYSCORE', done, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
""")
"""Key and place of the next lines that were answered; 'gone' where there is no journal any more. Whoever hears of them is there."""

MEMBERS: Final = Script(f"""{_KEYS}{_DUE}
-- ARGV: first, last
local told = {{}}
for _, key in ipairs(redis.call('ZRANGE', members, ARGV[1], ARGV[2])) do
  local time, wanted = due(key)
  local known = redis.call('HGET', open, key) or ''
  for _, word in ipairs({{key, known, time, wanted}}) do told[#told + 1] = word end
end
return told
""")
"""Key, address and size, deadline or '', '1' where it counts of a batch's lines; '' for one that is answered."""

TEXTS: Final = Script(f"""{_LEADER}
-- ARGV: ..., keys
local told = {{}}
for i = 3, #ARGV do
  told[#told + 1] = redis.call('HGET', tries, ARGV[i]) or '0'
  told[#told + 1] = redis.call('HGET', bodies, ARGV[i])
end
return told
""")
"""Attempt and prompt of lines; nil for one that is answered. For a leader alone, because whoever asks is about to send them."""

FAIL: Final = Script(f"""{_LEADER}
-- ARGV: ..., '1' for those of their whole batch, keys
local told = {{}}
local counts = ARGV[3] == '1' and spoilt or fails
for i = 4, #ARGV do
  if redis.call('HEXISTS', open, ARGV[i]) == 1 then
    local attempt = redis.call('HGET', tries, ARGV[i]) or '0'
    local count, mark = string.match(redis.call('HGET', counts, ARGV[i]) or '0:', '^(%d+):(.*)$')
    if mark ~= attempt then
      count = count + 1
      redis.call('HSET', counts, ARGV[i], count .. ':' .. attempt)
    end
    told[#told + 1] = ARGV[i]
    told[#told + 1] = tonumber(count)
  end
end
return told
""")
"""Count failures of lines that are not answered, one for an attempt: key and count."""

TAKE: Final = Script(f"""{_LEADER}
-- ARGV: ..., time, number of the batch or '', '1' for what is stopped alone, then key, answer, '1' for an error, input, cached and
-- output tokens of each
local first = {{}}
local stops = ARGV[5] == '1' and tonumber(redis.call('HGET', facts, 'stops') or 0)
local used = {{0, 0, 0}}
local from = tonumber(redis.call('HGET', facts, 'seq') or 0) + 1
for i = 6, #ARGV, 6 do
  local key = ARGV[i]
  local goes_on = stops and tonumber(redis.call('HGET', asked, key) or 0) >= stops
  if not goes_on and redis.call('HDEL', open, key) == 1 then
    for _, hash in ipairs({{bodies, asked, dues, fails, spoilt}}) do redis.call('HDEL', hash, key) end
    redis.call('ZREM', queue, key)
    redis.call('ZREM', moved, key)
    redis.call('HSET', answers, key, ARGV[i + 1])
    if ARGV[i + 2] == '1' then redis.call('SADD', bad, key) end
    redis.call('ZADD', done, redis.call('HINCRBY', facts, 'seq', 1), key)
    first[#first + 1] = key
    for j = 1, 3 do used[j] = used[j] + ARGV[i + 2 + j] end
  end
end
if #first > 0 then redis.call('ZADD', ages, ARGV[3], from .. ':' .. from + #first - 1) end
if ARGV[4] ~= '' then
  for i, what in ipairs({{'input_tokens', 'cache_read', 'output_tokens'}}) do
    redis.call('HINCRBY', sums, ARGV[4] .. ':' .. what, string.format('%.0f', used[i]))
  end
  redis.call('HINCRBY', sums, ARGV[4] .. ':answered', #first)
end
return first
""")
"""Keep answers. The keys of those lines that had none yet."""

PLAN: Final = Script(f"""{_LEADER}
-- ARGV: ..., number of the batch, its JSON, keys of lines
redis.call('HSET', batches, ARGV[3], ARGV[4])
for i = 5, #ARGV do
  local place = redis.call('ZSCORE', queue, ARGV[i])
  if place then
    redis.call('ZREM', queue, ARGV[i])
    redis.call('ZADD', members, place, ARGV[i])
  end
end
return redis.call('ZCARD', members)
""")
"""Take lines out of the queue, into a batch. How many it has."""

CHANGE: Final = Script(f"""{_LEADER}
-- ARGV: ..., number of the batch, its JSON, the provider's id or '', '1' where that is to be known as ours
redis.call('HSET', batches, ARGV[3], ARGV[4])
if ARGV[5] ~= '' then
  if ARGV[6] == '1' then
    redis.call('HSET', remotes, ARGV[5], ARGV[3])
  else
    redis.call('HDEL', remotes, ARGV[5])
  end
end
return 1
""")
"""Write down how a batch stands."""

MOVE: Final = Script(f"""{_LEADER}
-- ARGV: ..., how many, '1' where it was an attempt at them
for _, key in ipairs(redis.call('ZRANGE', members, 0, ARGV[3] - 1)) do
  if redis.call('HEXISTS', open, key) == 1 then
    redis.call('ZADD', queue, redis.call('ZSCORE', members, key), key)
    if ARGV[4] == '1' then redis.call('HINCRBY', tries, key, 1) end
  end
  redis.call('ZREM', members, key)
end
return redis.call('ZCARD', members)
""")
"""Put lines of a batch that are not answered back into the queue. How many lines are left in the batch."""

RETAIN: Final = Script(f"""{_LEADER}{_DROP}
-- ARGV: ..., time, how many
local old = redis.call('ZRANGEBYSCORE', ages, '-inf', '(' .. ARGV[3], 'LIMIT', 0, ARGV[4])
for _, span in ipairs(old) do
  local from, to = string.match(span, '^(%d+):(%d+)$')
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', done, from, to)) do
    drop(key)
    redis.call('HDEL', tries, key)
    redis.call('SREM', bad, key)
  end
  redis.call('ZREM', ages, span)
end
return #old
""")
"""Forget answers that are older. How many groups of them were."""

COUNTS: Final = Script(f"""{_KEYS}
local errored = redis.call('SCARD', bad)
local queued = redis.call('ZCARD', queue)
return {{queued, redis.call('HLEN', open) - queued, redis.call('HLEN', answers) - errored, errored}}
""")
"""How many lines are queued, sent, answered and errored."""
