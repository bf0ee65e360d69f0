"""The `aae` command: parses, calls, prints. Each module holds a group of commands; `program` lists them."""

from aae.cli.program import app, main, run

__all__ = ["app", "main", "run"]
