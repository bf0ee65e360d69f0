"""The paper's figures beside ours."""

import shlex
from pathlib import Path

import pytest
from helpers import small_networks
from PIL import Image

from aae import recipes
from aae.errors import InputError
from aae.reproduction import pictures
from aae.runs.recipe import read_recipe
from aae.runs.train import train

ROOT = Path(__file__).parents[2]
EVERY = [picture for group in pictures.PICTURES.values() for picture in group]
OF_THE_PAPER = "2a 2b 2c 2d 2e 4a 4b 4c 4d 5 7a 7b 9 11a 11b 11c 11d"


def test_every_figure_of_the_paper_has_ours_in_the_document():
    document = (ROOT / "REPRODUCTION.md").read_text(encoding="utf-8")
    shown = {picture.figure.partition(",")[0] for picture in EVERY}
    assert {f"Figure {number}" for number in OF_THE_PAPER.split()} <= shown
    for picture in EVERY:
        assert f"![{picture.figure}]({pictures.FOLDER}/{picture.file})" in document
        assert picture.claim.endswith(".")
        assert picture.seen.endswith(".")


def test_pictures_are_there_and_small():
    sizes = {picture.file: (ROOT / pictures.FOLDER / picture.file).stat().st_size for picture in EVERY}
    assert max(sizes.values()) < 600_000
    assert sum(sizes.values()) < 2_500_000


@pytest.mark.parametrize(
    "line", sorted({line for picture in EVERY for line in picture.commands if "aae train" in line})
)
def test_commands_train_what_there_is(line):
    words = shlex.split(line)
    assert words[:2] == ["aae", "train"]
    recipes.read(words[2], [words[k + 1] for k, word in enumerate(words) if word == "--set"])


def test_pictures_are_made_of_runs(tmp_path, monkeypatch):
    recipe = read_recipe("figure2a-digits", [*small_networks(), "training.epochs=1"])
    train(recipe, run=tmp_path / "runs" / "small", device="cpu")

    def asked(plot, run="small"):
        made = pictures.Picture("Figure 0", "zero.webp", (), "A thing.", "It is there.", run, plot, 40)
        monkeypatch.setattr(pictures, "PICTURES", {"figure0": (made,)})
        return pictures.make(tmp_path / "runs", tmp_path)

    assert asked("codes") == [tmp_path / "zero.webp"]
    with Image.open(tmp_path / "zero.webp") as image:
        assert image.format == "WEBP"
    assert asked("codes", "elsewhere") == []
    with pytest.raises(InputError, match=r"small: has no plot 'walk'; found curves, "):
        asked("walk")
