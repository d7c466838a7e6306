"""The whole life of a stream and of a group, as redis-py shows it, for both of its clients."""

import asyncio
import os
import time

import redis

from checks import Checks, settle
from groups import Groups
from transactions import Transactions

DEADLINE_SECONDS = 30
TIMEOUT_MILLISECONDS = 60
VALUE_BYTES = 5 * 1024 * 1024


class Life(Groups, Transactions):
    """Each step has keys of its own and leaves nothing behind."""

    def __init__(self, adapter, protocol):
        self.adapter = adapter
        self.protocol = protocol
        self.checks = Checks()
        self.prefix = f"life:{os.getpid()}:{time.time_ns()}"

    async def live(self):
        self.client = self.adapter.connect(decode_responses=True)
        self.other = self.adapter.connect(decode_responses=True)
        keys_before = await self.call("dbsize")
        for step in (self.add, self.trim_while_adding, self.ranges, self.read, self.time_out,
                     self.wake, self.group, self.pending, self.claim, self.information,
                     self.end_of_group, self.trim_and_delete, self.move_on, self.pipeline,
                     self.transaction, self.watch, self.abort, self.large_value, self.all_bytes,
                     self.names, self.errors, self.keys):
            # A life that hangs is ended from outside: then this says where.
            print(step.__name__, flush=True)
            await step()
        self.checks.equal("dbsize at the end", await self.call("dbsize"), keys_before)
        await self.adapter.close(self.client)
        await self.adapter.close(self.other)
        self.checks.finish()

    async def add(self):
        key = self.name("add")
        await self.expect("1-1", "xadd", key, {"kind": "created"}, id="1-1")
        await self.expect("1-2", "xadd", key, {"b": "1", "a": "2"}, id="1-2")
        await self.expect("2-0", "xadd", key, {"n": "3"}, id="2-*")
        before = time.time_ns() // 1_000_000
        made = await self.call("xadd", key, {"n": "4"})
        milliseconds, number = made.split("-")
        near = abs(int(milliseconds) - before) < DEADLINE_SECONDS * 1000
        self.checks.holds("an id of the clock", made, f"about {before}-0", near and number == "0")
        await self.expect(4, "xlen", key)
        missing = self.name("missing")
        await self.expect(None, "xadd", missing, {"a": "1"}, nomkstream=True)
        await self.expect(0, "xlen", missing)
        await self.expect(1, "delete", key)

    async def trim_while_adding(self):
        key = self.name("trimmed")
        for number in range(1, 4):
            await self.expect(f"{number}-0", "xadd", key, {"n": number}, id=f"{number}-0",
                              maxlen=2, approximate=False)
        await self.expect([("2-0", {"n": "2"}), ("3-0", {"n": "3"})], "xrange", key)
        await self.expect("4-0", "xadd", key, {"n": 4}, id="4-0", minid="3-0", approximate=False)
        await self.expect([("3-0", {"n": "3"}), ("4-0", {"n": "4"})], "xrange", key)
        # Fewer entries than a node holds: nothing may be dropped.
        await self.expect("5-0", "xadd", key, {"n": 5}, id="5-0", maxlen=1000)
        await self.expect(3, "xlen", key)
        await self.expect(1, "delete", key)

    async def ranges(self):
        key = await self.stream("range", 5)
        whole = entries(1, 5)
        await self.expect(whole, "xrange", key)
        await self.expect(whole[:2], "xrange", key, count=2)
        await self.expect(whole[1:4], "xrange", key, "2-0", "4-0")
        await self.expect(whole[1:4], "xrange", key, "2", "4")
        await self.expect(whole[2:3], "xrange", key, "(2-0", "(4-0")
        await self.expect([], "xrange", key, "6", "+")
        await self.expect(whole[::-1], "xrevrange", key)
        await self.expect(whole[:2:-1], "xrevrange", key, count=2)
        await self.expect(whole[2:3], "xrevrange", key, "(4-0", "(2-0")
        await self.expect([], "xrange", self.name("missing"))
        await self.expect(1, "delete", key)

    async def read(self):
        one, two = await self.stream("read-one", 3), await self.stream("read-two", 2)
        both = self.streams((one, entries(1, 3)), (two, entries(1, 2)))
        await self.expect(both, "xread", {one: "0", two: "0"})
        first = self.streams((one, entries(2, 2)), (two, entries(1, 1)))
        await self.expect(first, "xread", {one: "1-0", two: "0"}, count=1)
        await self.expect(self.streams((two, entries(2, 2))), "xread", {one: "3-0", two: "1-0"})
        await self.expect(self.streams(), "xread", {one: "$", two: "2-0"})
        await self.expect(self.streams(), "xread", {self.name("missing"): "0"})
        await self.expect(2, "delete", one, two)

    async def time_out(self):
        key = await self.stream("time-out", 1)
        begun = time.monotonic()
        await self.expect(self.streams(), "xread", {key: "$"}, block=TIMEOUT_MILLISECONDS)
        passed = (time.monotonic() - begun) * 1000
        enough = TIMEOUT_MILLISECONDS - 1 <= passed < DEADLINE_SECONDS * 1000
        self.checks.holds("a blocked read waits", passed, f"{TIMEOUT_MILLISECONDS} ms", enough)
        await self.expect(1, "delete", key)

    async def wake(self):
        """A blocked read gets what another connection adds, and nothing from before it."""
        key = await self.stream("wake", 1)
        reader = self.adapter.connect(decode_responses=True)
        milliseconds = DEADLINE_SECONDS * 1000
        waiting = self.adapter.begin(lambda: reader.xread({key: "$"}, block=milliseconds))
        added, done = [], set()
        # Nobody can see when the read has begun: events are added until it has one.
        while not done:
            added.append(await self.call("xadd", key, {"n": len(added)}, client=self.other))
            done, _ = await asyncio.wait({waiting}, timeout=0.005)
        reply = waiting.result()
        choices = [self.streams((key, [(made, {"n": str(n)})])) for n, made in enumerate(added)]
        self.checks.holds("the read woke for one entry", reply, choices, reply in choices)
        waiting = self.adapter.begin(lambda: reader.xread({key: added[-1]}, block=milliseconds))
        made = await self.call("xadd", key, {"last": "one"}, client=self.other)
        self.checks.equal("the read has the entry", await waiting,
                          self.streams((key, [(made, {"last": "one"})])))
        await self.adapter.close(reader)
        await self.expect(1, "delete", key)

    async def trim_and_delete(self):
        key = await self.stream("trim", 6)
        await self.expect(2, "xtrim", key, maxlen=4, approximate=False)
        await self.expect(1, "xtrim", key, minid="4", approximate=False)
        await self.expect(0, "xtrim", key, maxlen=100)
        await self.expect(1, "xdel", key, "5-0", "9-9")
        await self.expect([entries(4, 4)[0], entries(6, 6)[0]], "xrange", key)
        await self.expect(2, "xtrim", key, maxlen=0, approximate=False)
        await self.expect(1, "exists", key)
        # The last id outlives the entries.
        await self.expect("6-1", "xadd", key, {"n": "7"}, id="6-*")
        await self.expect(1, "delete", key)

    async def move_on(self):
        key = await self.stream("set-id", 1)
        await self.expect("OK", "execute_command", "XSETID", key, "50-3")
        await self.expect("50-4", "xadd", key, {"n": "2"}, id="50-*")
        await self.expect("OK", "execute_command", "XSETID", key, "60-0", "ENTRIESADDED", 9,
                          "MAXDELETEDID", "7-0")
        stream = await self.call("xinfo_stream", key)
        fields = [stream[name] for name in
                  ("last-generated-id", "entries-added", "max-deleted-entry-id")]
        self.checks.equal("set", fields, ["60-0", 9, "7-0"])
        smaller = "The ID specified in XSETID is smaller than the target stream top item"
        await self.refuse(smaller, "execute_command", "XSETID", key, "8-0")
        await self.expect(1, "delete", key)

    async def large_value(self):
        key = self.name("large")
        value = "0123456789abcdef" * (VALUE_BYTES // 16)
        await self.expect("1-0", "xadd", key, {"value": value}, id="1-0")
        await self.expect([("1-0", {"value": value})], "xrange", key)
        await self.expect(self.streams((key, [("1-0", {"value": value})])), "xread", {key: 0})
        await self.expect(1, "delete", key)

    async def all_bytes(self):
        key = self.name("bytes").encode()
        value = bytes(range(256))
        raw = self.adapter.connect()
        await self.expect(b"1-0", "xadd", key + value, {value: value}, id="1-0", client=raw)
        await self.expect([(b"1-0", {value: value})], "xrange", key + value, client=raw)
        await self.expect([key + value], "keys", key + b"*", client=raw)
        await self.expect(1, "delete", key + value, client=raw)
        await self.adapter.close(raw)

    async def names(self):
        for word in ("orders:42", "two words", "ключ-é-流-🙂", '"quoted"', "{braces}"):
            key, group, field = self.name(word), f"group {word}", f"field {word}"
            await self.expect("1-0", "xadd", key, {field: word}, id="1-0")
            await self.expect(True, "xgroup_create", key, group, "0")
            reply = self.streams((key, [("1-0", {field: word})]))
            await self.expect(reply, "xreadgroup", group, f"of {word}", {key: ">"})
            pending = await self.call("xpending_range", key, group, "-", "+", 1)
            self.checks.equal(word, pending[0]["consumer"], f"of {word}")
            await self.expect(1, "delete", key)

    async def errors(self):
        key = await self.stream("errors", 2)
        arity = "wrong number of arguments for 'xadd' command"
        await self.refuse(arity, "execute_command", "XADD", key)
        await self.refuse(arity, "execute_command", "XADD", key, "*", "field")
        smaller = "The ID specified in XADD is equal or smaller than the target stream top item"
        await self.refuse(smaller, "xadd", key, {"a": "1"}, id="2-0")
        invalid = "Invalid stream ID specified as stream command argument"
        await self.refuse(invalid, "xadd", key, {"a": "1"}, id="nonsense")
        await self.refuse(invalid, "xrange", key, "nonsense")
        zero = "The ID specified in XADD must be greater than 0-0"
        await self.refuse(zero, "xadd", key, {"a": "1"}, id="0-0")
        await self.refuse("value is not an integer or out of range", "execute_command", "XRANGE",
                          key, "-", "+", "COUNT", "many")
        await self.refuse("syntax error", "execute_command", "XREAD", "NONSENSE", key, "0")
        await self.refuse("no such key", "xinfo_stream", self.name("missing"))
        await self.refuse("unknown subcommand 'NONSENSE'. Try XINFO HELP.", "execute_command",
                          "XINFO", "NONSENSE", key)
        await self.refuse("unknown command 'NONSENSE', with args beginning with: 'a' ",
                          "execute_command", "NONSENSE", "a")
        await self.expect(2, "xlen", key)
        await self.expect(1, "delete", key)

    async def keys(self):
        one, two = await self.stream("keys:one", 1), await self.stream("keys:two", 1)
        pattern = self.name("keys:*")
        await self.expect(3, "exists", one, two, self.name("keys:three"), one)
        await self.expect("stream", "type", one)
        await self.expect("none", "type", self.name("keys:three"))
        self.checks.equal("keys", sorted(await self.call("keys", pattern)), [one, two])
        for count in (1, 100):
            found = self.client.scan_iter(match=pattern, count=count, _type="stream")
            self.checks.equal("scan", sorted(await self.adapter.collect(found)), [one, two])
        found = self.client.scan_iter(match=pattern, _type="hash")
        self.checks.equal("scan for hashes", await self.adapter.collect(found), [])
        await self.expect(-1, "ttl", one)
        await self.expect(-2, "ttl", self.name("keys:three"))
        await self.expect(True, "rename", one, self.name("keys:three"))
        await self.expect(0, "exists", one)
        await self.expect(entries(1, 1), "xrange", self.name("keys:three"))
        await self.refuse("no such key", "rename", one, two)
        await self.expect(True, "rename", self.name("keys:three"), two)
        await self.expect([two], "keys", pattern)
        await self.expect(1, "delete", one, two)

    def name(self, word):
        return f"{self.prefix}:{word}"

    async def stream(self, word, count):
        """A stream with the entries 1-0 … count-0."""
        key = self.name(word)
        for number in range(1, count + 1):
            await self.expect(f"{number}-0", "xadd", key, {"n": number}, id=f"{number}-0")
        return key

    def streams(self, *pairs):
        """What a read answers: redis-py shows RESP2's arrays and RESP3's maps as they come."""
        if self.protocol == 3:
            return {key: [found] for key, found in pairs}
        return [[key, found] for key, found in pairs]

    async def call(self, method, *arguments, client=None, **options):
        return await settle(getattr(client or self.client, method)(*arguments, **options))

    async def expect(self, expected, method, *arguments, **options):
        try:
            actual = await self.call(method, *arguments, **options)
        except redis.RedisError as error:
            actual = f"{type(error).__name__}: {error}"
        self.checks.equal(method, actual, expected)

    async def refuse(self, text, method, *arguments, **options):
        call = lambda: getattr(self.client, method)(*arguments, **options)
        await self.checks.refused(method, call, redis.ResponseError, text)


def entries(first, last):
    """What `stream` added, as redis-py shows it."""
    return [(f"{number}-0", {"n": str(number)}) for number in range(first, last + 1)]
