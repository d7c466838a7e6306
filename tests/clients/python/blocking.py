"""The life of streams and groups through redis-py's blocking client: HOST PORT PROTOCOL."""

import asyncio
import sys

import redis

from life import Life


class Blocking:
    """Clients whose methods answer with the reply."""

    def __init__(self, host, port, protocol):
        self.settings = {"host": host, "port": port, "protocol": protocol}

    def connect(self, **settings):
        return redis.Redis(**self.settings, **settings)

    def begin(self, call):
        """Makes a call that waits, on a thread of its own."""
        return asyncio.get_running_loop().run_in_executor(None, call)

    async def close(self, client):
        client.close()

    async def collect(self, names):
        return list(names)

    def refusal(self, text):
        """How this client tells the error of one command among several."""
        return text


if __name__ == "__main__":
    host, port, protocol = sys.argv[1:]
    asyncio.run(Life(Blocking(host, int(port), int(protocol)), int(protocol)).live())
