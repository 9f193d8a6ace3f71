"""Emulated Babel neighbours of a hub: the program bench/babel_peers.cpp in a host."""

import os
import pathlib
import select

from .routers import ROOT

PROGRAM = os.environ.get("BABEL_PEERS", str(pathlib.Path(ROOT) / "build/release/bench/babel-peers"))


class Peers:
    def __init__(self, host, count):
        self.process = host.speaking(PROGRAM, str(count))
        if self._line(30) != ["ready"]:
            raise RuntimeError("the emulated peers do not run")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def _line(self, seconds):
        """The words of the next line; none if it does not come."""
        ready = select.select([self.process.stdout], [], [], seconds)[0]
        return self.process.stdout.readline().decode().split() if ready else []

    def wait_all_told(self, seconds):
        """Until each was told the prefixes of all others: the time of that moment."""
        words = self._line(seconds)
        return float(words[1]) if words[:1] == ["told"] else None
