"""The scripts that the server runs, each in one piece.

All keys begin with one hash tag, so that they are in one slot of a cluster. An entry is a string,
``version value``; its version is a number that no other put has, from a counter that begins at the
server's time: after an empty restart it is ahead of where it was. What may be refused for reasons
of its own (a message to those who watch, taking away what has ended) never ends a script.
"""

from __future__ import annotations

import hashlib


class Script:
    """A script, and the name that a server knows it by once it has run it.

    Attributes:
        text: What it says.
        sha: Its name.
    """

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        """Make one of its text."""
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_SWEEP = """
local function sweep(paths, names, path)
  redis.pcall('ZREM', paths, path)
  local class, context, name = string.match(path, '^([^/]*)/([^/]*)/(.*)$')
  if name then redis.pcall('ZREM', names, name .. '/' .. class .. '/' .. context) end
end
"""

_TELL = """
local function tell(counter, channel, path)
  local number, before = redis.pcall('INCR', counter), 0
  if type(number) == 'table' then
    redis.call('GET', counter)  -- of another type: that is refused
  elseif number > 1 and number < 9007199254740992 then  -- beyond that Lua takes two for one
    before = number - 1
  end
  if before == 0 then
    local time = redis.call('TIME')
    number = tonumber(time[1]) * 1000000 + tonumber(time[2])
    redis.call('SET', counter, string.format('%.0f', number))
  end
  number = string.format('%.0f', number)
  redis.pcall('PUBLISH', channel, string.format('%.0f %s %s', before, number, path))
  return number
end
"""

LOOK = Script("""
-- KEYS: entries. Returns for each what is there, or false, and how many milliseconds are left.
local found = {}
for index, key in ipairs(KEYS) do
  found[2 * index - 1] = redis.call('GET', key)
  found[2 * index] = redis.call('PTTL', key)
end
return found
""")

PAGE = Script(
    _SWEEP
    + """
-- KEYS: paths, names. ARGV: stem of entries, 'names' or 'paths', least, greatest, members, bytes.
-- Returns where the next page begins, or '', then path, what is there, milliseconds left of each.
local members = redis.call(
  'ZRANGEBYLEX', ARGV[2] == 'names' and KEYS[2] or KEYS[1], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
local page, size, last = {''}, 0, nil
for index, member in ipairs(members) do
  local path = member
  if ARGV[2] == 'names' then
    -- What somebody else has put there may have no parts.
    local name, class, context = string.match(member, '^([^/]*)/([^/]*)/(.*)$')
    path = (class or '') .. '/' .. (context or '') .. '/' .. (name or member)
  end
  local found = redis.call('GET', ARGV[1] .. path)
  if found then
    page[#page + 1] = path
    page[#page + 1] = found
    page[#page + 1] = redis.call('PTTL', ARGV[1] .. path)
    size = size + #found
  else
    sweep(KEYS[1], KEYS[2], path)
  end
  last = index
  if size > tonumber(ARGV[6]) then break end
end
if last and (last < #members or #members == tonumber(ARGV[5])) then page[1] = members[last] end
return page
"""
)

PUT = Script(
    _SWEEP
    + _TELL
    + """
-- KEYS: entry, paths, names, counter, puts by class, channel.
-- ARGV: stem of entries, path, class, name path, value, milliseconds or '', version or '-' or '*'.
-- Returns 0 if it is not as expected, 1 if it was there, 2 if it was put.
local there = redis.call('GET', KEYS[1])
local ends = there and string.find(there, ' ', 1, true)
local version = there and string.match(there, '^[^ ]*') or '-'
if ARGV[7] ~= '*' and ARGV[7] ~= version then return 0 end
if ends and string.sub(there, ends + 1) == ARGV[5] then
  if ARGV[6] == '' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
  end
  -- An index that somebody has emptied fills again.
  local path = redis.pcall('ZADD', KEYS[2], 0, ARGV[2])
  local name = redis.pcall('ZADD', KEYS[3], 0, ARGV[4])
  if path == 1 or name == 1 then tell(KEYS[4], KEYS[6], ARGV[2]) end
  return 1
end
local new = redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[4])
local number = tell(KEYS[4], KEYS[6], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[3], number)
if ARGV[6] == '' then
  redis.call('SET', KEYS[1], number .. ' ' .. ARGV[5])
else
  redis.call('SET', KEYS[1], number .. ' ' .. ARGV[5], 'PX', ARGV[6])
end
if new == 1 then
  for _, path in ipairs(redis.call('ZRANDMEMBER', KEYS[2], 2)) do
    if redis.call('EXISTS', ARGV[1] .. path) == 0 then sweep(KEYS[2], KEYS[3], path) end
  end
end
return 2
"""
)

REMOVE = Script(
    _SWEEP
    + _TELL
    + """
-- KEYS: entry, paths, names, counter, channel. ARGV: path, version.
-- Returns 0 if it is another version or gone.
redis.call('GET', KEYS[4])  -- of another type: that is refused before anything is done
local there = redis.call('GET', KEYS[1])
if not there or string.match(there, '^[^ ]*') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
sweep(KEYS[2], KEYS[3], ARGV[1])
tell(KEYS[4], KEYS[5], ARGV[1])
return 1
"""
)

PUT_CLASS = Script("""
-- KEYS: class, puts by class. ARGV: where it says who put it, who does, value.
-- Returns 1 if it was put, now or by the same before; else 0.
local who = redis.call('HGET', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return who == ARGV[2] and 1 or 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('SET', KEYS[1], ARGV[3])
return 1
""")

CLASS = Script("""
-- KEYS: class, puts by class. ARGV: class. Returns whether it is there, and its last put.
return {redis.call('EXISTS', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[1]) or ''}
""")

REMOVE_CLASS = Script("""
-- KEYS: class, puts by class. ARGV: class, its last put, where it says who put the class.
-- Returns 0 if there was one since, 1 if the class was not there, 2 if it was removed.
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1], ARGV[3])
return 1 + redis.call('DEL', KEYS[1])
""")
