"""Figures of the examples for light and dark pages: each is written twice, and the theme shows the one that fits."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from aae.figures.canvas import SHOWN_DPI, Figure, data_uri
from aae.figures.dark import darkened

DPI = 130  # of figures of pyplot; those of a column of text are about 700 pixels wide


def scraper(block: tuple[str, str, int], variables: dict[str, Any], settings: dict[str, Any]) -> str:
    """Save the open figures of pyplot and return the reStructuredText that shows them."""
    from matplotlib import pyplot

    texts = []
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        path = Path(next(variables["image_path_iterator"]))
        figure.set_facecolor("white")
        for dark, theme in ((False, "only-light"), (True, "only-dark")):
            target = path.with_name(f"{path.stem}-dark.png") if dark else path
            with darkened(figure) if dark else nullcontext():
                figure.savefig(target, dpi=DPI, bbox_inches="tight")
            place = target.relative_to(settings["src_dir"]).as_posix()
            shown = f":alt: figure of the code above\n   :class: sphx-glr-single-img {theme}"
            texts.append(f".. image:: /{place}\n   {shown}\n")
    pyplot.close("all")
    return "\n".join(texts)


def both(figure: Figure) -> str:
    """Show a figure that stands at the end of a block, as a notebook would."""
    shown = ((data_uri(figure, SHOWN_DPI, dark), "only-dark" if dark else "only-light") for dark in (False, True))
    return "".join(
        f'<img alt="figure" class="{theme}" style="max-width: 100%" src="{source}">' for source, theme in shown
    )


def setup(app: Any) -> dict[str, bool]:
    """Make figures show themselves twice."""
    Figure._repr_html_ = both  # type: ignore[method-assign]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
