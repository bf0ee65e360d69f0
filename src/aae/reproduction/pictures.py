"""The paper's figures beside ours: what each is to show, and whether ours shows it.

The texts are in ``pictures.toml``, and `aae.reproduction.tables` puts them into documents.
``python -m aae.reproduction.pictures RUNS FOLDER`` makes the pictures of the runs that it finds in RUNS.
"""

from __future__ import annotations

import io
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from aae.errors import InputError
from aae.files import replacing
from aae.runs.plot import figures
from aae.runs.run import Run

FOLDER = "docs/images"
QUALITY = 78  # of WebP, from 0 to 100


@dataclass(frozen=True)
class Picture:
    """One picture of ours.

    Attributes
    ----------
    figure : str
        The paper's number of it, such as ``2a``, or what it is called.
    file : str
        Its name in `FOLDER`.
    commands : tuple of str
        What makes it; the first trains.
    claim : str
        What a reader should see, by the paper.
    seen : str
        Whether it is there.
    run : str
        Name of its run folder; empty for pictures that are made by other means.
    plot : str
        Name of the plot, as `aae.runs.plot.figures` has it.
    dpi : int
        Dots per inch; sheets of images have one image pixel magnified three times at 200.
    """

    figure: str
    file: str
    commands: tuple[str, ...]
    claim: str
    seen: str
    run: str = ""
    plot: str = ""
    dpi: int = 100

    def markdown(self) -> str:
        """Write the picture with what is to be seen on it."""
        commands = ", ".join(f"`{command}`" for command in self.commands)
        return (
            f"**{self.figure}.** *To be seen:* {self.claim} *Here:* {self.seen}\n\n"
            f"![{self.figure}]({FOLDER}/{self.file})\n\n*{commands}*"
        )


def blocks(pictures: Mapping[str, Sequence[Picture]]) -> dict[str, str]:
    """Write the pictures of each group as Markdown."""
    return {name: "\n\n".join(picture.markdown() for picture in group) for name, group in pictures.items()}


def write(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as WebP, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with replacing(path) as draft, draft.open("wb") as file:
        Image.open(buffer).convert("RGB").save(file, "WEBP", quality=QUALITY, method=6)


def make(runs: Path, folder: Path) -> list[Path]:
    """Make the pictures of those runs that are there.

    Parameters
    ----------
    runs : Path
        Folder of run folders, each called by the name in `Picture.run`.
    folder : Path
        Where the pictures go.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If a run has no plot of the name.
    """
    asked: dict[str, list[Picture]] = {}
    for group in PICTURES.values():
        for picture in group:
            if picture.run and (runs / picture.run).is_dir():
                asked.setdefault(picture.run, []).append(picture)
    written = []
    for name, pictures in asked.items():
        made = figures([Run.load(runs / name)])
        for picture in pictures:
            if picture.plot not in made:
                raise InputError(f"{runs / name}: has no plot {picture.plot!r}; found {', '.join(made)}")
            write(made[picture.plot], folder / picture.file, picture.dpi)
            written.append(folder / picture.file)
    return written


def _read() -> dict[str, tuple[Picture, ...]]:
    groups = tomllib.loads(files("aae.reproduction").joinpath("pictures.toml").read_text(encoding="utf-8"))
    return {
        name: tuple(Picture(**entry | {"commands": tuple(entry["commands"])}) for entry in group)
        for name, group in groups.items()
    }


PICTURES: dict[str, tuple[Picture, ...]] = _read()
"""Our pictures by the groups in which they stand in a document."""


if __name__ == "__main__":
    for found in make(Path(sys.argv[1]), Path(sys.argv[2])):
        print(found)
