"""The life of streams and groups through redis-py's asyncio client: HOST PORT PROTOCOL."""

import asyncio
import sys

import redis.asyncio

from life import Life


class Asynchronous:
    """Clients whose methods answer with something to await."""

    def __init__(self, host, port, protocol):
        self.settings = {"host": host, "port": port, "protocol": protocol}

    def connect(self, **settings):
        return redis.asyncio.Redis(**self.settings, **settings)

    def begin(self, call):
        """Makes a call that waits, beside the others."""
        return asyncio.ensure_future(call())

    async def close(self, client):
        await client.aclose()

    async def collect(self, names):
        return [name async for name in names]

    def refusal(self, text):
        """How this client tells the error of one command among several."""
        return f'("{text}",)'


if __name__ == "__main__":
    host, port, protocol = sys.argv[1:]
    asyncio.run(Life(Asynchronous(host, int(port), int(protocol)), int(protocol)).live())
