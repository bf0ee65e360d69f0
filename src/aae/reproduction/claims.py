"""What the paper says in passing, and what was measured of it; the texts are in ``claims.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    title : str
        What it is about, and where it stands.
    claim : str
        What the paper says.
    found : str
        What we found.
    """

    title: str
    claim: str
    found: str

    def markdown(self, table: str) -> str:
        """Write it as a section with the table of what was measured."""
        return f"### {self.title}\n\n*The paper:* {self.claim}\n\n*Here:* {self.found}\n\n{table}"


def read() -> dict[str, Claim]:
    """Read all claims, by the name of their table."""
    found = tomllib.loads(files("aae.reproduction").joinpath("claims.toml").read_text(encoding="utf-8"))
    return {name: Claim(**entry) for name, entry in found.items()}
