"""The part of the life that pipelines and transactions have."""

import redis

from checks import settle

PIPELINE_COMMANDS = 1000


class Transactions:
    """Steps of `Life`, which says how calls are made and checked."""

    async def pipeline(self):
        key = self.name("pipeline")
        pipeline = self.client.pipeline(transaction=False)
        for number in range(1, PIPELINE_COMMANDS):
            pipeline.xadd(key, {"n": number}, id=f"{number}-0")
        pipeline.xlen(key)
        expected = [f"{number}-0" for number in range(1, PIPELINE_COMMANDS)]
        self.checks.equal("pipeline", await settle(pipeline.execute()),
                          [*expected, PIPELINE_COMMANDS - 1])
        pipeline.xadd(key, {"n": "0"}, id="1-0").xlen(key).execute_command("NONSENSE")
        pipeline.xdel(key, "1-0")
        replies = await settle(pipeline.execute(raise_on_error=False))
        self.expect_replies(
            "errors within a pipeline", replies,
            ["ResponseError: The ID specified in XADD is equal or smaller than the target stream "
             "top item", PIPELINE_COMMANDS - 1,
             "ResponseError: unknown command 'NONSENSE', with args beginning with: ", 1])
        await self.expect(1, "delete", key)

    async def transaction(self):
        one, two = self.name("transaction-one"), self.name("transaction-two")
        pipeline = self.client.pipeline()
        pipeline.xadd(one, {"n": "1"}, id="1-0").xadd(two, {"n": "1"}, id="1-0")
        pipeline.xgroup_create(one, "g", "0").xreadgroup("g", "alice", {one: ">"})
        # Within a transaction nothing waits.
        pipeline.xread({two: "$"}, block=0).xack(one, "g", "1-0").xlen(one)
        self.checks.equal("transaction", await settle(pipeline.execute()),
                          ["1-0", "1-0", True, self.streams((one, [("1-0", {"n": "1"})])),
                           self.streams(), 1, 1])
        pipeline.xadd(one, {"n": "0"}, id="1-0").xadd(one, {"n": "2"}, id="2-0")
        replies = await settle(pipeline.execute(raise_on_error=False))
        self.expect_replies(
            "an error within a transaction", replies,
            ["ResponseError: The ID specified in XADD is equal or smaller than the target stream "
             "top item", "2-0"])
        self.checks.equal("an empty transaction", await settle(pipeline.execute()), [])
        await self.expect(2, "delete", one, two)

    async def watch(self):
        key = await self.stream("watch", 1)
        pipeline = self.client.pipeline()
        await settle(pipeline.watch(key))
        # After WATCH redis-py calls at once, until MULTI.
        self.checks.equal("before MULTI", await settle(pipeline.xlen(key)), 1)
        pipeline.multi()
        pipeline.xadd(key, {"by": "this"}, id="2-0")
        await self.expect("2-0", "xadd", key, {"by": "another"}, id="2-0", client=self.other)
        await self.checks.refused("a watched stream changed", pipeline.execute, redis.WatchError,
                                  "Watched variable changed.")
        await self.expect(2, "xlen", key)
        await settle(pipeline.watch(key))
        pipeline.multi()
        pipeline.xadd(key, {"by": "this"}, id="3-0")
        self.checks.equal("nothing changed", await settle(pipeline.execute()), ["3-0"])
        await settle(pipeline.watch(key))
        await self.expect("4-0", "xadd", key, {"by": "another"}, id="4-0", client=self.other)
        self.checks.equal("unwatch", await settle(pipeline.unwatch()), True)
        pipeline.xadd(key, {"by": "this"}, id="5-0")
        self.checks.equal("no longer watched", await settle(pipeline.execute()), ["5-0"])
        await self.expect(1, "delete", key)

    async def abort(self):
        key = await self.stream("abort", 1)
        pipeline = self.client.pipeline()
        pipeline.xadd(key, {"n": "2"}, id="2-0").execute_command("XADD", key)
        text = self.adapter.refusal("wrong number of arguments for 'xadd' command")
        # redis-py tells of the first command that was refused instead of EXECABORT.
        await self.checks.refused(
            "a refused command", pipeline.execute, redis.ResponseError,
            f"Command # 2 (XADD {key}) of pipeline caused error: {text}")
        await self.abort_by_hand(key)
        await self.expect(1, "xlen", key)
        await self.expect(1, "delete", key)

    async def abort_by_hand(self, key):
        single = self.adapter.connect(decode_responses=True, single_connection_client=True)
        send = lambda *words: self.call("execute_command", *words, client=single)
        self.checks.equal("MULTI", await send("MULTI"), "OK")
        await self.checks.refused("EXEC without MULTI", lambda: self.client.execute_command("EXEC"),
                                  redis.ResponseError, "EXEC without MULTI")
        await self.checks.refused("queued", lambda: send("XADD", key), redis.ResponseError,
                                  "wrong number of arguments for 'xadd' command")
        await self.checks.refused("EXEC", lambda: send("EXEC"), redis.exceptions.ExecAbortError,
                                  "Transaction discarded because of previous errors.")
        self.checks.equal("MULTI", await send("MULTI"), "OK")
        self.checks.equal("DISCARD", await send("DISCARD"), "OK")
        await self.adapter.close(single)

    def expect_replies(self, what, replies, expected):
        shown = [f"{type(reply).__name__}: {reply}" if isinstance(reply, Exception) else reply
                 for reply in replies]
        self.checks.equal(what, shown, expected)
