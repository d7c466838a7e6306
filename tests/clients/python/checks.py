"""Counts what was checked; the first check that does not hold ends the program with exit code 1."""

import inspect
import sys


class Checks:
    """Every check names what it looked at, so that a failure says where the life went wrong."""

    def __init__(self):
        self.count = 0

    def equal(self, what, actual, expected):
        self.count += 1
        # True equals 1 in Python, and a client that answers one for the other is a surprise.
        if actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
            self._fail(what, expected, actual)

    def holds(self, what, actual, expected, condition):
        """For what no test can know word for word: an id made by the clock, a time."""
        self.count += 1
        if not condition:
            self._fail(what, expected, actual)

    async def refused(self, what, call, kind, text):
        """The client raises exactly this class with exactly this text."""
        self.count += 1
        expected = f"{kind.__name__}: {text}"
        try:
            came = await settle(call())
        except Exception as error:
            actual = f"{type(error).__name__}: {error}"
            if actual != expected:
                self._fail(what, expected, actual)
        else:
            self._fail(what, expected, came)

    def finish(self):
        print(f"ok {self.count}")

    def _fail(self, what, expected, actual):
        print(f"{what}\n  expected {shorten(expected)}\n  got      {shorten(actual)}")
        sys.exit(1)


async def settle(value):
    """The asyncio client answers with something to await, the blocking client with the reply."""
    return await value if inspect.isawaitable(value) else value


def shorten(value):
    """Five megabytes in a message help nobody."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 2000 else f"{text[:2000]}… ({len(text)} characters)"
