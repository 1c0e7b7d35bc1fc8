"""What must happen in Redis at once, as Lua; the keys of each script share one hash tag.

An item is a number. Its entry in the stream of work holds that number and nothing else, and what
is done is one bit of a bitmap, so that a harvest of a million items takes some 15 MB.
"""

from typing import Final

# KEYS work, meta. ARGV group, total, most entries to add. Returns items added so far, of all calls.
FEED: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
  redis.call('HSET', KEYS[2], 'fed', 0)
end
local fed = tonumber(redis.call('HGET', KEYS[2], 'fed') or 0)
local last = math.min(tonumber(ARGV[2]), fed + tonumber(ARGV[3]))
for n = fed, last - 1 do redis.call('XADD', KEYS[1], '*', 'n', n) end
redis.call('HSET', KEYS[2], 'fed', last, 'total', ARGV[2])
return last
"""

# KEYS work, done. ARGV group, consumer, most items, whether to look for orphans, lease ms.
# Returns {entry, item, deliveries} for each item leased.
LEASE: Final = """
local leased = {}
local most = tonumber(ARGV[3])
local function take(entries, deliveries)
  for _, entry in ipairs(entries) do
    local n = entry[2][2]
    if redis.call('GETBIT', KEYS[2], n) == 1 then
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
      redis.call('XDEL', KEYS[1], entry[1])
    else
      leased[#leased + 1] = {entry[1], n, deliveries(entry[1])}
    end
  end
end
local function counted(id)
  return redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1][4]
end
if ARGV[4] == '1' then
  local cursor = '0-0'
  repeat
    local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[5], cursor,
                             'COUNT', most - #leased)
    cursor = found[1]
    take(found[2], counted)
  until cursor == '0-0' or #leased >= most
end
if #leased < most then
  local found = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', most - #leased,
                           'STREAMS', KEYS[1], '>')
  if found then take(found[1][2], function() return 1 end) end
end
return leased
"""

# KEYS work. ARGV group, consumer, entries. Returns the entries that are no longer the consumer's.
RENEW: Final = """
local mine = {}
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100000, ARGV[2])
for _, one in ipairs(pending) do mine[one[1]] = true end
local lost = {}
for i = 3, #ARGV do
  if mine[ARGV[i]] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""

# KEYS work. ARGV group, consumer, then entry and the deliveries to remember of each.
# An entry given back is idle for longer than any lease, so whoever looks for orphans takes it.
RELEASE: Final = """
for i = 3, #ARGV, 2 do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if held and held[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', 86400000,
               'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
  end
end
return 1
"""

_COUNT: Final = """
local function count(n, level, solved, failed)
  redis.call('SETBIT', KEYS[2], n, 1)
  redis.call('HINCRBY', KEYS[3], 'done', 1)
  redis.call('HINCRBY', KEYS[3], 'level:' .. level .. ':done', 1)
  redis.call('HINCRBY', KEYS[3], 'level:' .. level .. ':solved', solved)
  redis.call('HINCRBY', KEYS[3], 'failed', failed)
end
"""

# KEYS work, done, meta, staged. ARGV group, part, versions (or ''), then entry, item, level,
# solved, failed of each. All of the part or nothing of it is committed. Returns what happened and,
# for `taken`, the items that others have committed; for `versions`, those of the harvest.
COMMIT: Final = (
    _COUNT
    + """
if redis.call('SISMEMBER', KEYS[4], ARGV[2]) == 1 then return {'committed'} end
local taken = {'taken'}
for i = 4, #ARGV, 5 do
  if redis.call('GETBIT', KEYS[2], ARGV[i + 1]) == 1 then taken[#taken + 1] = ARGV[i + 1] end
end
if #taken > 1 then return taken end
if ARGV[3] ~= '' then
  local before = redis.call('HGET', KEYS[3], 'versions')
  if before and before ~= ARGV[3] then return {'versions', before} end
  redis.call('HSET', KEYS[3], 'versions', ARGV[3])
end
for i = 4, #ARGV, 5 do
  count(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
redis.call('SADD', KEYS[4], ARGV[2])
return {'committed'}
"""
)

# KEYS work, done, meta. ARGV versions (or ''), then item, level, solved, failed of each: what
# parts on the disk hold. Returns how many of them were not known to be done.
MARK: Final = (
    _COUNT
    + """
if ARGV[1] ~= '' then redis.call('HSETNX', KEYS[3], 'versions', ARGV[1]) end
local marked = 0
for i = 2, #ARGV, 4 do
  if redis.call('GETBIT', KEYS[2], ARGV[i]) == 0 then
    count(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    marked = marked + 1
  end
end
return marked
"""
)

# KEYS work, done, meta. ARGV items said to be done whose part is gone: they become work again.
AGAIN: Final = """
for i = 1, #ARGV do
  if redis.call('GETBIT', KEYS[2], ARGV[i]) == 1 then
    redis.call('SETBIT', KEYS[2], ARGV[i], 0)
    redis.call('HINCRBY', KEYS[3], 'done', -1)
    redis.call('XADD', KEYS[1], '*', 'n', ARGV[i])
  end
end
return 1
"""
