"""What must happen in Redis at once, as Lua. Each script's keys share one hash tag.

Fencing: `state.token` counts up with every replica that takes a search. Only the holder of the
newest token writes; the lease merely says when others may take it. A holder whose lease ran out
may go on under its token for as long as nobody else has taken the search.
"""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which Redis knows it."""

    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by their SHA-1.
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


# KEYS state, lease, log. ARGV lease ms, seconds to keep, kind, body, then fields of the state.
# Again with the same batch, it changes nothing.
CREATE = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('XADD', KEYS[3], '1-0', 'kind', ARGV[3], 'body', ARGV[4])
redis.call('HSET', KEYS[1], 'token', 1, 'seq', 1, 'status', 'running', 'adoptions', 0,
           unpack(ARGV, 5))
redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
return 1
""")

# KEYS state, lease, log. ARGV token, length of the log as the writer knows it, batch, lease ms,
# retention in seconds after the last event (or 0), number of events, then kind and body of each,
# then fields of the state. Returns what happened and the length of the log.
# `batch` names this write: repeated after a lost reply, it is not written twice.
# A log in which others have written under ids of their own can still be ended.
APPEND = Script("""
local state = redis.call('HMGET', KEYS[1], 'token', 'seq', 'status', 'batch')
local seq = tonumber(state[2] or 0)
if state[1] ~= ARGV[1] then return {'lost', seq} end
if state[4] == ARGV[3] then return {'written', seq} end
if state[3] ~= 'running' then return {'lost', seq} end
if seq > tonumber(ARGV[2]) then return {'ahead', seq} end
if seq < tonumber(ARGV[2]) then return {'behind', seq} end
local count = tonumber(ARGV[6])
for i = 1, count do
  local id = string.format('%d-0', seq + i)
  local kind, body = ARGV[5 + 2 * i], ARGV[6 + 2 * i]
  local reply = redis.pcall('XADD', KEYS[3], id, 'kind', kind, 'body', body)
  if type(reply) == 'table' and reply.err then
    if ARGV[5] == '0' or not string.find(reply.err, 'equal or smaller') then return reply end
    redis.call('XADD', KEYS[3], '*', 'kind', kind, 'body', body)
  end
end
redis.call('HSET', KEYS[1], 'seq', seq + count, 'batch', ARGV[3], unpack(ARGV, 7 + 2 * count))
if ARGV[5] ~= '0' then
  redis.call('DEL', KEYS[2])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  redis.call('EXPIRE', KEYS[3], ARGV[5])
elseif redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
end
return {'written', seq + count}
""")

# KEYS state, lease. ARGV token, lease ms.
RENEW = Script("""
local state = redis.call('HMGET', KEYS[1], 'token', 'status', 'cancel')
if state[1] ~= ARGV[1] then return 'lost' end
if state[2] ~= 'running' then return 'ended' end
if redis.call('PEXPIRE', KEYS[2], ARGV[2]) == 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return state[3] == '1' and 'cancel' or 'held'
""")

# KEYS state, lease, log. ARGV lease ms, replica, seconds to keep.
# A search that was handed over counts as no failed adoption.
TAKE = Script("""
local state = redis.call('HMGET', KEYS[1], 'status', 'handed', 'seq', 'cancel')
if not state[1] then return {'gone'} end
if state[1] ~= 'running' then return {'ended'} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'held'} end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
local adoptions = redis.call('HINCRBY', KEYS[1], 'adoptions', state[2] == '1' and 0 or 1)
redis.call('HSET', KEYS[1], 'replica', ARGV[2], 'handed', 0)
redis.call('SET', KEYS[2], token, 'PX', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return {'taken', token, tonumber(state[3]), adoptions, tonumber(state[4] or 0)}
""")

# KEYS state, lease. ARGV token. It is handed over, which is no failed adoption.
RELEASE = Script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'handed', 1)
return 1
""")

# KEYS state.
CANCEL = Script("""
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return 'gone' end
if status ~= 'running' then return 'ended' end
redis.call('HSET', KEYS[1], 'cancel', 1)
return 'asked'
""")

# KEYS open. ARGV lease ms, NX to add or CH to add and move, then ids.
SCHEDULE = Script("""
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], ARGV[2], due, ARGV[i]) end
return due
""")

# KEYS open. ARGV lease ms, how many. Searches that are due, and not due again for a lease's time:
# replicas that scan together see different ones, and one that cannot be taken blocks no other.
DUE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], id) end
return ids
""")

# KEYS claim. ARGV the value that was found, the one to set, seconds to keep.
REPLACE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
""")
