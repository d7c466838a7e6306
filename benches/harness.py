"""What the benches share: programs built and started, a client of a few lines, and the machine.

Everything that is started is stopped at the end, whatever happens, and all files lie in one
directory under the current one, which is removed.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
SAMPLE_SECONDS = 0.02


def say(text):
    """Progress goes to stderr: stdout is the table."""
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


def end_on_signals():
    """Lets SIGTERM unwind as Ctrl-C does, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextlib.contextmanager
def work_directory(parent):
    path = pathlib.Path(tempfile.mkdtemp(prefix="meilies-bench-", dir=parent)).resolve()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def target_directory():
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE,
    )
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"])


def build_server():
    """Builds the release server if it is not up to date. Gives its path."""
    command = ["cargo", "build", "--release", "--locked", "-p", "meilies-server"]
    say("building the server")
    subprocess.run(command, cwd=ROOT, check=True)
    return target_directory() / "release" / "meilies-server"


def build_load():
    """Builds the load, which is no member of the workspace, beside it. Gives its path."""
    target = target_directory() / "load"
    manifest = ROOT / "benches" / "load" / "Cargo.toml"
    say("building the load")
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest]
    subprocess.run([*command, "--target-dir", target], check=True)
    return target / "release" / "load"


def require(program, package):
    path = shutil.which(program)
    if path is None:
        fail(f"{program} is missing: install {package}")
    return path


class Server:
    """A server as a child process, which says in its log when it is ready."""

    def __init__(self, command, directory, ready, port=None):
        self.command, self.directory, self.ready = command, pathlib.Path(directory), ready
        self.port = port
        self.log_path = self.directory / "server.log"
        self.process = None

    def spawn(self):
        """Starts the process and does not wait."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MEILIES_")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command],
                cwd=self.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def start(self):
        """Starts the process and waits until it accepts connections."""
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.spawn()
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until:
            log = self.log_path.read_bytes()[begin:].decode(errors="replace")
            found = re.search(self.ready, log)
            if found:
                self.port = self.port or int(found.group(1))
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        fail(f"{self.command[0]} did not start:\n{self.log_path.read_text(errors='replace')}")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def connect(self):
        return Client(self.port)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """As the kernel does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """As an operator does, and by force if it takes too long."""
        if not self.is_running():
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


@contextlib.contextmanager
def stopped_at_the_end(server):
    try:
        yield server
    finally:
        server.stop()


def meilies_server(binary, directory, *flags):
    directory.mkdir()
    command = [binary, "--port", "0", "--db-path", directory / "data", *flags]
    return Server(command, directory, r"ready to accept connections.*127\.0\.0\.1:(\d+)")


def redis_server(binary, directory, *flags):
    directory.mkdir()
    # Redis takes no port 0.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "--bind", "127.0.0.1", "--port", port, "--dir", directory, *flags]
    return Server(command, directory, r"Ready to accept connections", port)


class ServerError(Exception):
    """An error reply."""


class Client:
    """One connection, one command at a time, RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.replies = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.replies.close()
        self.socket.close()

    def call(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        frame = [b"*%d\r\n" % len(words)]
        frame += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(frame))
        return self.read()

    def read(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ServerError(rest.decode(errors="replace"))
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self.read() for _ in range(number)]
        return self.replies.read(number + 2)[:-2]

    def info(self):
        lines = self.call("INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


class PeakMemory:
    """The highest RssAnon of a process while this is open, in bytes."""

    def __init__(self, pid):
        self.path, self.peak = f"/proc/{pid}/status", 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.sample()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def watch(self):
        while not self.done.wait(SAMPLE_SECONDS):
            self.sample()

    def sample(self):
        try:
            with open(self.path) as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        self.peak = max(self.peak, int(line.split()[1]) * 1024)
        except OSError:
            pass  # The process has ended.


def cpu_seconds(pid):
    """What a process has used of the processors so far, in all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_bytes(pid):
    """RssAnon of a process."""
    memory = PeakMemory(pid)
    memory.sample()
    return memory.peak


def disk_bytes(directory):
    """What the files take on the disk."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in files)


def file_system(directory):
    """The type of the file system that holds the directory, as the kernel calls it."""
    best = (pathlib.Path(), "unknown file system")
    with contextlib.suppress(OSError), open("/proc/self/mounts") as mounts:
        for mount in mounts:
            _device, point, kind = mount.split()[:3]
            point = pathlib.Path(point)
            if directory.is_relative_to(point) and len(point.parts) >= len(best[0].parts):
                best = (point, kind)
    return best[1]


def machine(directory):
    """One line about where this ran."""
    processor = "unknown processor"
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    cores = len(os.sched_getaffinity(0))
    kernel = os.uname().release
    return f"{cores} × {processor}, Linux {kernel}, {file_system(directory)}"
