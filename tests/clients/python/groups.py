"""The part of the life that consumer groups have."""

IDLE_MILLISECONDS_MAX = 60_000
HOUR_MILLISECONDS = 3_600_000


class Groups:
    """Steps of `Life`, which says how calls are made and checked."""

    async def group(self):
        key = self.name("group")
        await self.expect(True, "xgroup_create", key, "g", "$", mkstream=True)
        await self.refuse("BUSYGROUP Consumer Group name already exists", "xgroup_create", key, "g")
        await self.refuse(
            "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
            "use the MKSTREAM option to create an empty stream automatically.",
            "xgroup_create", self.name("missing"), "g")
        await self.expect(0, "xlen", key)
        await self.expect("stream", "type", key)
        reader = self.adapter.connect(decode_responses=True)
        waiting = self.adapter.begin(
            lambda: reader.xreadgroup("g", "alice", {key: ">"}, block=30_000))
        await self.expect("1-0", "xadd", key, {"n": "1"}, id="1-0", client=self.other)
        self.checks.equal("the group's read", await waiting, self.delivered(key, 1))
        await self.adapter.close(reader)
        for number in range(2, 6):
            await self.expect(f"{number}-0", "xadd", key, {"n": number}, id=f"{number}-0")
        await self.expect(self.delivered(key, 2, 3), "xreadgroup", "g", "alice", {key: ">"},
                          count=2)
        await self.expect(self.delivered(key, 4), "xreadgroup", "g", "bob", {key: ">"}, count=1)
        await self.expect(self.delivered(key, 5), "xreadgroup", "g", "bob", {key: ">"}, noack=True)
        await self.expect(self.streams(), "xreadgroup", "g", "bob", {key: ">"}, block=20)
        await self.expect(self.delivered(key, 1, 2, 3), "xreadgroup", "g", "alice", {key: "0"})
        await self.expect(self.delivered(key, 2), "xreadgroup", "g", "alice", {key: "1-0"}, count=1)
        await self.expect(self.delivered(key), "xreadgroup", "g", "carol", {key: "0"})
        missing = (f"NOGROUP No such key '{key}' or consumer group 'nobody' in XREADGROUP with "
                   "GROUP option")
        await self.refuse(missing, "xreadgroup", "nobody", "alice", {key: ">"})
        await self.expect(1, "delete", key)

    async def pending(self):
        key = await self.delivered_stream("pending")
        await self.expect(
            {"pending": 4, "min": "1-0", "max": "4-0",
             "consumers": [{"name": "alice", "pending": 3}, {"name": "bob", "pending": 1}]},
            "xpending", key, "g")
        await self.expect_details([("1-0", "alice", 1), ("2-0", "alice", 1), ("3-0", "alice", 1),
                                   ("4-0", "bob", 1)], key, "-", "+", 10)
        await self.expect_details([("2-0", "alice", 1)], key, "(1-0", "+", 1)
        await self.expect_details([("4-0", "bob", 1)], key, "-", "+", 10, consumername="bob")
        await self.expect_details([], key, "-", "+", 10, idle=HOUR_MILLISECONDS)
        await self.expect(2, "xack", key, "g", "1-0", "4-0", "9-9")
        await self.expect(0, "xack", key, "nobody", "2-0")
        await self.expect(
            {"pending": 2, "min": "2-0", "max": "3-0",
             "consumers": [{"name": "alice", "pending": 2}]},
            "xpending", key, "g")
        await self.expect(2, "xack", key, "g", "2-0", "3-0")
        await self.expect({"pending": 0, "min": None, "max": None, "consumers": []},
                          "xpending", key, "g")
        missing = f"NOGROUP No such key '{key}' or consumer group 'nobody'"
        await self.refuse(missing, "xpending", key, "nobody")
        await self.expect(1, "delete", key)

    async def claim(self):
        key = await self.delivered_stream("claim")
        await self.expect([], "xclaim", key, "g", "bob", HOUR_MILLISECONDS, ["1-0"])
        await self.expect([("1-0", {"n": "1"})], "xclaim", key, "g", "bob", 0, ["1-0", "9-9"])
        await self.expect(["1-0"], "xclaim", key, "g", "bob", 0, ["1-0"], justid=True)
        await self.expect_details([("1-0", "bob", 2)], key, "1-0", "1-0", 1)
        await self.expect([("2-0", {"n": "2"})], "xclaim", key, "g", "bob", 0, ["2-0"],
                          retrycount=7, idle=HOUR_MILLISECONDS)
        await self.expect_details([("2-0", "bob", 7)], key, "-", "+", 9, idle=HOUR_MILLISECONDS)
        await self.expect([("5-0", {"n": "5"})], "xclaim", key, "g", "carol", 0, ["5-0"],
                          force=True)
        # Made by force it counts as delivered, and then as claimed.
        await self.expect_details([("5-0", "carol", 2)], key, "5-0", "+", 1)
        await self.expect(1, "xdel", key, "3-0")
        await self.expect(["3-0", [("1-0", {"n": "1"}), ("2-0", {"n": "2"})], []],
                          "xautoclaim", key, "g", "dave", 0, "0-0", count=2)
        await self.expect(["0-0", [("4-0", {"n": "4"}), ("5-0", {"n": "5"})], ["3-0"]],
                          "xautoclaim", key, "g", "dave", 0, "3-0", count=9)
        await self.expect(["1-0", "2-0", "4-0", "5-0"], "xautoclaim", key, "g", "bob", 0,
                          justid=True)
        await self.expect(["0-0", [], []], "xautoclaim", key, "g", "bob", HOUR_MILLISECONDS)
        await self.expect_details([("1-0", "bob", 3), ("2-0", "bob", 8), ("4-0", "bob", 2),
                                   ("5-0", "bob", 3)], key, "-", "+", 9)
        # An entry that is gone stays pending until somebody acknowledges or claims it.
        await self.expect(1, "xdel", key, "4-0")
        gone = self.streams((key, [("4-0", {}), ("5-0", {"n": "5"})]))
        await self.expect(gone, "xreadgroup", "g", "bob", {key: "2-0"})
        await self.expect(1, "delete", key)

    async def information(self):
        key = await self.delivered_stream("information")
        await self.expect(True, "xgroup_create", key, "late", "$")
        stream = await self.call("xinfo_stream", key)
        self.expect_fields(
            "xinfo_stream", stream,
            {"length": 5, "last-generated-id": "5-0", "max-deleted-entry-id": "0-0",
             "entries-added": 5, "recorded-first-entry-id": "1-0", "groups": 2,
             "first-entry": ("1-0", {"n": "1"}), "last-entry": ("5-0", {"n": "5"})})
        for name in ("radix-tree-keys", "radix-tree-nodes"):
            self.checks.holds(name, stream[name], "a number", type(stream[name]) is int)
        groups = await self.call("xinfo_groups", key)
        self.checks.equal("xinfo_groups", len(groups), 2)
        self.expect_fields("xinfo_groups", groups[0],
                           {"name": "g", "consumers": 2, "pending": 4, "last-delivered-id": "4-0",
                            "entries-read": 4, "lag": 1})
        self.expect_fields("xinfo_groups", groups[1],
                           {"name": "late", "consumers": 0, "pending": 0,
                            "last-delivered-id": "5-0", "lag": 0})
        consumers = await self.call("xinfo_consumers", key, "g")
        for consumer, expected in zip(consumers, (("alice", 3), ("bob", 1)), strict=True):
            self.checks.equal("consumer", (consumer["name"], consumer["pending"]), expected)
            idle = consumer["idle"]
            self.checks.holds("idle", idle, "just now", 0 <= idle < IDLE_MILLISECONDS_MAX)
        await self.information_in_full(key)
        await self.expect(1, "delete", key)

    async def information_in_full(self, key):
        stream = await self.call("xinfo_stream", key, full=True)
        entries = {f"{number}-0": {"n": str(number)} for number in range(1, 6)}
        self.expect_fields("xinfo_stream full", stream,
                           {"length": 5, "last-generated-id": "5-0", "entries-added": 5,
                            "recorded-first-entry-id": "1-0", "entries": entries})
        group = stream["groups"][0]
        self.expect_fields("group in full", group,
                           {"name": "g", "last-delivered-id": "4-0", "entries-read": 4, "lag": 1,
                            "pel-count": 4})
        pending = [(one[0], one[1], one[3]) for one in group["pending"]]
        self.checks.equal("pending in full", pending,
                          [("1-0", "alice", 1), ("2-0", "alice", 1), ("3-0", "alice", 1),
                           ("4-0", "bob", 1)])
        alice, bob = group["consumers"]
        self.expect_fields("consumer in full", alice, {"name": "alice", "pel-count": 3})
        self.checks.equal("pending of alice", [(one[0], one[2]) for one in alice["pending"]],
                          [("1-0", 1), ("2-0", 1), ("3-0", 1)])
        self.expect_fields("consumer in full", bob, {"name": "bob", "pel-count": 1})
        delivered, seen = bob["pending"][0][1], bob["seen-time"]
        near = abs(delivered - seen) < IDLE_MILLISECONDS_MAX
        self.checks.holds("delivered when seen", delivered, f"about {seen}", near)
        self.checks.equal("groups in full", stream["groups"][1]["pending"], [])

    async def end_of_group(self):
        key = await self.delivered_stream("end")
        await self.expect(1, "xgroup_createconsumer", key, "g", "carol")
        await self.expect(0, "xgroup_createconsumer", key, "g", "carol")
        await self.expect(0, "xgroup_delconsumer", key, "g", "carol")
        await self.expect(3, "xgroup_delconsumer", key, "g", "alice")
        await self.expect(0, "xgroup_delconsumer", key, "g", "nobody")
        consumers = await self.call("xinfo_consumers", key, "g")
        self.checks.equal("consumers left", [one["name"] for one in consumers], ["bob"])
        await self.expect(True, "xgroup_setid", key, "g", "0")
        await self.expect(self.delivered(key, 1), "xreadgroup", "g", "bob", {key: ">"}, count=1)
        await self.expect(True, "xgroup_destroy", key, "g")
        await self.expect(False, "xgroup_destroy", key, "g")
        await self.expect([], "xinfo_groups", key)
        missing = f"NOGROUP No such consumer group 'g' for key name '{key}'"
        await self.refuse(missing, "xinfo_consumers", key, "g")
        await self.refuse(missing, "xgroup_setid", key, "g", "0")
        await self.expect(1, "delete", key)

    async def delivered_stream(self, word):
        """Five entries: three are pending for alice, one for bob, one is not delivered."""
        key = await self.stream(word, 5)
        await self.expect(True, "xgroup_create", key, "g", "0")
        await self.expect(self.delivered(key, 1, 2, 3), "xreadgroup", "g", "alice", {key: ">"},
                          count=3)
        await self.expect(self.delivered(key, 4), "xreadgroup", "g", "bob", {key: ">"}, count=1)
        return key

    def delivered(self, key, *numbers):
        return self.streams((key, [(f"{number}-0", {"n": str(number)}) for number in numbers]))

    async def expect_details(self, expected, key, *arguments, **options):
        """Who has which entry, and how often it was delivered; the idle time is only plausible."""
        found = await self.call("xpending_range", key, "g", *arguments, **options)
        details = [(one["message_id"], one["consumer"], one["times_delivered"]) for one in found]
        self.checks.equal("xpending_range", details, expected)
        least = options.get("idle", 0)
        for one in found:
            idle = one["time_since_delivered"]
            plausible = least <= idle < HOUR_MILLISECONDS + IDLE_MILLISECONDS_MAX
            self.checks.holds("idle time", idle, f"{least} or little more", plausible)

    def expect_fields(self, what, actual, expected):
        """Newer servers tell more than these fields."""
        found = {name: actual.get(name) for name in expected}
        self.checks.equal(what, found, expected)
