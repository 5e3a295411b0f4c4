"""What Redis does to the streams of a store, in its own language, each script at one stroke.

Owns the keys and the scripts. A stream is a hash; three sorted sets hold the ids that are kept in
their order, and records and tombstones by age; two strings hold the newest epoch and the bytes.
Those that have to work where Redis is out of memory are marked so, which takes Redis 7; it refuses
the others that are marked before they change anything.

Arguments of each: the time, the bound, the time before which nobody holds a stream, the newest
epoch that this server has seen; then its own.
"""

from typing import Final

from service.stores.store import MOST_SPARED, RECORD_BYTES, SPARED_SHARE, TOMBSTONE_BYTES

# Braces, so that all keys would lie on one node of a cluster.
BASE: Final = "{statewise}"
FIRST_OWN: Final = 5

_COMMON: Final = f"""
local base, now, most, before = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local evicted = 0
local RECORD, TOMBSTONE = {RECORD_BYTES}, {TOMBSTONE_BYTES}
local function row(id) return base .. ':s:' .. id end
local function look(id)
    local found = redis.call('HMGET', row(id), 'epoch', 'fate', 'weight')
    return tonumber(found[1] or '0'), found[2] or 'unknown', tonumber(found[3] or '0')
end
local function record(id)
    return redis.call('HMGET', row(id), 'written', 'owner', 'model', 'version', 'sequence',
        'steps', 'payload', 'stored')
end
local function raise(epoch)
    if tonumber(epoch) > tonumber(redis.call('GET', base .. ':epoch') or '0') then
        redis.call('SET', base .. ':epoch', epoch)
    end
end
local function drop(id)
    local _, _, weight = look(id)
    redis.call('DEL', row(id))
    for _, set in ipairs({{':ids', ':kept', ':gone'}}) do redis.call('ZREM', base .. set, id) end
    redis.call('INCRBY', base .. ':bytes', 0 - weight)
end
local function bury(id, epoch, fate)
    drop(id)
    redis.call('HSET', row(id), 'epoch', epoch, 'fate', fate, 'weight', TOMBSTONE)
    redis.call('ZADD', base .. ':gone', now, id)
    redis.call('INCRBY', base .. ':bytes', TOMBSTONE)
end
local function put(i, epoch)
    local id = ARGV[i]
    drop(id)
    local weight = RECORD + #ARGV[i + 7]
    redis.call('HSET', row(id), 'epoch', epoch, 'written', epoch, 'fate', 'kept', 'weight', weight,
        'owner', ARGV[i + 2], 'model', ARGV[i + 3], 'version', ARGV[i + 4],
        'sequence', ARGV[i + 5], 'steps', ARGV[i + 6], 'payload', ARGV[i + 7], 'stored', now)
    redis.call('ZADD', base .. ':ids', 0, id)
    redis.call('ZADD', base .. ':kept', now, id)
    redis.call('INCRBY', base .. ':bytes', weight)
end
-- Chooses all that has to go before anything does, so that a full store is left as it was.
local function make_room(growth)
    local excess = tonumber(redis.call('GET', base .. ':bytes') or '0') + growth - most
    if excess <= 0 then return true end
    local chosen, taken = {{}}, {{}}
    -- The youngest tombstones go last.
    local beyond = redis.call('ZCARD', base .. ':gone')
        - math.min(math.floor(most / ({SPARED_SHARE} * TOMBSTONE)), {MOST_SPARED})
    for id in pairs(mine) do
        if redis.call('ZSCORE', base .. ':gone', id) then beyond = beyond - 1 end
    end
    local all = math.huge
    for _, turn in ipairs({{{{':gone', beyond}}, {{':kept', all}}, {{':gone', all}}}}) do
        local set, left_to_take, from = turn[1], turn[2], 0
        while excess > 0 and left_to_take > 0 do
            local old = redis.call('ZRANGEBYSCORE', base .. set, '-inf', before, 'LIMIT', from, 64)
            if #old == 0 then break end
            for _, id in ipairs(old) do
                if excess <= 0 or left_to_take <= 0 then break end
                local epoch, _, weight = look(id)
                local left = set == ':kept' and TOMBSTONE or 0
                -- One that is about to be written is no gain.
                if not mine[id] and not taken[id] then
                    taken[id], left_to_take = true, left_to_take - 1
                    chosen[#chosen + 1] = {{id, epoch, left}}
                    excess = excess - weight + left
                end
            end
            from = from + 64
        end
    end
    if excess > 0 then return false end
    for _, one in ipairs(chosen) do
        if one[3] == 0 then drop(one[1]) else
            bury(one[1], one[2], 'evicted')
            evicted = evicted + 1
        end
    end
    return true
end
"""

BEGIN: Final = f"""#!lua
local mine = {{}}
{_COMMON}
raise(ARGV[4])
local growth, answers = 0, {{}}
for i = {FIRST_OWN}, #ARGV, 8 do
    local id = ARGV[i]
    local _, fate, weight = look(id)
    if fate == 'kept' then
        answers[#answers + 1] = {{0, fate, record(id)}}
    else
        answers[#answers + 1] = {{i, fate}}
        growth = growth + RECORD + #ARGV[i + 7] - weight
        mine[id] = true
    end
end
if next(mine) and not make_room(growth) then return redis.error_reply('STOREFULL') end
for _, answer in ipairs(answers) do
    if answer[1] > 0 then
        local i = answer[1]
        answer[1] = redis.call('INCR', base .. ':epoch')
        put(i, answer[1])
    end
end
answers[#answers + 1] = evicted
return answers
"""

CLAIM: Final = f"""#!lua flags=allow-oom
local mine = {{}}
{_COMMON}
raise(ARGV[4])
local answers = {{}}
for i = {FIRST_OWN}, #ARGV, 2 do
    local id = ARGV[i]
    local _, fate = look(id)
    if fate ~= 'kept' then
        answers[#answers + 1] = {{0, fate}}
    else
        local epoch = 0
        local found = record(id)
        if found[2] == ARGV[i + 1] then
            epoch = redis.call('INCR', base .. ':epoch')
            redis.call('HSET', row(id), 'epoch', epoch)
            redis.call('ZADD', base .. ':kept', now, id)
        end
        answers[#answers + 1] = {{epoch, fate, found}}
    end
end
return answers
"""

WRITE: Final = f"""#!lua
local mine = {{}}
{_COMMON}
local growth, answers = 0, {{}}
for i = {FIRST_OWN}, #ARGV, 8 do
    local epoch, fate, weight = look(ARGV[i])
    local asked = tonumber(ARGV[i + 1])
    local free = asked > epoch or (asked == epoch and (fate == 'kept' or fate == 'evicted'))
    answers[#answers + 1] = free and 1 or 0
    if free then
        growth = growth + RECORD + #ARGV[i + 7] - weight
        mine[ARGV[i]] = true
    end
end
if next(mine) and not make_room(growth) then return redis.error_reply('STOREFULL') end
for number, free in ipairs(answers) do
    if free == 1 then
        local i = {FIRST_OWN} + 8 * (number - 1)
        put(i, ARGV[i + 1])
        raise(ARGV[i + 1])
    end
end
answers[#answers + 1] = evicted
return answers
"""

TOUCH: Final = f"""#!lua flags=allow-oom
local mine = {{}}
{_COMMON}
for i = {FIRST_OWN}, #ARGV, 2 do
    local epoch, fate = look(ARGV[i])
    if fate == 'kept' and epoch == tonumber(ARGV[i + 1]) then
        redis.call('ZADD', base .. ':kept', now, ARGV[i])
    end
end
"""

READ: Final = f"""
local mine = {{}}
{_COMMON}
local _, fate = look(ARGV[{FIRST_OWN}])
if fate == 'kept' then return record(ARGV[{FIRST_OWN}]) end
"""

REMOVE: Final = f"""#!lua flags=allow-oom
local mine = {{}}
{_COMMON}
local id, asked, fate = ARGV[{FIRST_OWN}], ARGV[{FIRST_OWN + 1}], ARGV[{FIRST_OWN + 2}]
local epoch = look(id)
if epoch > tonumber(asked) then return 0 end
bury(id, asked, fate)
raise(asked)
return 1
"""

# A part of the ids, with the records among them that are of the owner; "" is everybody's mark.
PAGE: Final = f"""
local mine = {{}}
{_COMMON}
local ids = redis.call('ZRANGEBYLEX', base .. ':ids', ARGV[{FIRST_OWN}], '+', 'LIMIT', 0, 256)
local found = {{}}
for _, id in ipairs(ids) do
    local one = redis.call('HMGET', row(id), 'written', 'owner', 'model', 'version', 'sequence',
        'steps', 'none', 'stored')
    if ARGV[{FIRST_OWN + 1}] == 'all' or one[2] == ARGV[{FIRST_OWN + 2}] then
        found[#found + 1] = {{id, one}}
    end
end
return {{ids[#ids] or '', found}}
"""

HELD: Final = f"""
local mine = {{}}
{_COMMON}
return {{redis.call('ZCARD', base .. ':kept'), redis.call('GET', base .. ':bytes') or '0'}}
"""

EXPIRE: Final = f"""#!lua flags=allow-oom
local mine = {{}}
{_COMMON}
local limit = '(' .. ARGV[{FIRST_OWN}]
local function old(set)
    return redis.call('ZRANGEBYSCORE', base .. set, '-inf', limit, 'LIMIT', 0, 500)
end
local gone, kept = old(':gone'), old(':kept')
for _, id in ipairs(gone) do drop(id) end
for _, id in ipairs(kept) do
    local epoch = look(id)
    bury(id, epoch, 'expired')
end
return {{#kept, #gone}}
"""
