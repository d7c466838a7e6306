"""What the comparisons share: both servers, each as durable as it can be, fed by redis-benchmark."""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import time

import harness

MEILIES_FLAGS = ["--fsync", "always"]
# Rewriting its file in the background is off, which favours Redis.
REDIS_FLAGS = [
    "--appendonly", "yes", "--appendfsync", "always", "--save", "",
    "--auto-aof-rewrite-percentage", "0",
]

DATA = b"x" * 128
CALIBRATION_SECONDS = 0.5
REQUESTS_MAX = 10_000_000


def programs(server):
    """Where everything is: the binary of MeiliES, if it is given, is not built."""
    return {
        "meilies": os.path.abspath(server) if server else harness.build_server(),
        "redis": harness.require("redis-server", "redis-server"),
        "benchmark": harness.require("redis-benchmark", "redis-tools"),
    }


@contextlib.contextmanager
def started(binaries, directory, label):
    """Both servers, fresh, stopped and their data removed at the end."""
    place = directory / label
    place.mkdir()
    meilies = harness.meilies_server(binaries["meilies"], place / "meilies", *MEILIES_FLAGS)
    redis = harness.redis_server(binaries["redis"], place / "redis", *REDIS_FLAGS)
    with harness.stopped_at_the_end(meilies), harness.stopped_at_the_end(redis):
        servers = {"meilies": meilies, "redis": redis}
        for server in servers.values():
            server.start()
        yield servers
    shutil.rmtree(place)


def calibrate(benchmark, server, command, case, seconds):
    """How many requests take that many seconds, about."""
    clients, pipeline = case
    requests = 4 * clients * pipeline
    while True:
        begin = time.monotonic()
        rate = measure(benchmark, server, command, case, requests)
        if time.monotonic() - begin >= CALIBRATION_SECONDS:
            return min(REQUESTS_MAX, max(4 * clients * pipeline, int(rate * seconds)))
        requests *= 4


def measure(benchmark, server, command, case, requests):
    """Events a second. Fails unless all of them are stored."""
    clients, pipeline = case
    before = stored(server, command)
    # Options come before the command: what follows it is sent.
    words = [
        benchmark, "-h", "127.0.0.1", "-p", str(server.port), "-q",
        "-c", str(clients), "-P", str(pipeline), "-n", str(requests), *command,
    ]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors="replace")
    found = re.findall(r"([0-9.]+) requests per second", output)
    if done.returncode != 0 or not found:
        harness.fail(f"redis-benchmark failed on {server.command[0]}:\n{output}")
    gained = stored(server, command) - before
    if gained < requests:
        harness.fail(f"{server.command[0]} stored {gained} of {requests} events:\n{output}")
    return float(found[-1])


def stored(server, command):
    """How many events the stream has that the command writes to."""
    with server.connect() as client:
        return client.call("XLEN", command[1])


def ratio(ours, theirs):
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def shown(figures, form=",.0f"):
    """The median, and the lowest and highest."""
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def versions(binaries):
    redis = version(binaries["redis"], r"v=(\S+)")
    meilies = version(binaries["meilies"], r"(\S+)$")
    return f"MeiliES {meilies}, Redis {redis}"


def version(program, pattern):
    output = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True)
    return re.search(pattern, output.stdout.strip()).group(1)
