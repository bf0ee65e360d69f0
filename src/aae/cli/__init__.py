"""The `aae` command: parses, calls, prints. Each module holds a group of commands; `program` lists them."""

import sys

try:
    from aae.cli.program import app, main, run
except KeyboardInterrupt:  # libraries take a moment to load
    print("aae: interrupted", file=sys.stderr)
    sys.exit(130)

__all__ = ["app", "main", "run"]
