"""A command line that puts a router in force and takes it back, again and again: run with the router and the app's file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from thrift_plugins.cli.in_force import changing, put, take_back
from thrift_plugins.errors import ConfigError

SECONDS = 3.0


def main(router: str, in_force: str) -> int:
    text, file, times = Path(router).read_bytes(), Path(in_force), 0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            with changing(file):
                put(file, text)
            with changing(file):
                take_back(file)
        except ConfigError as error:
            if "another command" not in str(error) and "no router before" not in str(error):
                raise
            time.sleep(0.001)
        times += 1
    return times


if __name__ == "__main__":
    sys.stdout.write(str(main(*sys.argv[1:])))
