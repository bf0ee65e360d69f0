"""Formulas as MathML, which browsers draw themselves: the guide needs no network and no script for them."""

import re
import unicodedata
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

# What the converter has other names for, or none.
COMMANDS = {
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    r"\tfrac12": r"\frac{1}{2}",
    r"\tfrac": r"\frac",
    r"\big\|": r"\|",
    r"\big\Vert": r"\|",
    r"\arg\max": r"\operatorname{argmax}",
}


def mathml(text: str, display: str) -> str:
    """Convert LaTeX to one element of MathML."""
    for command, other in COMMANDS.items():
        text = text.replace(command, other)
    return re.sub(r'<mi mathvariant="([\w-]+)">([A-Za-z])</mi>', letter, str(convert(text, display=display)))


def letter(found: re.Match[str]) -> str:
    """Write a letter of a kind that browsers no longer know by name: as another character, or bold by its style."""
    kind, name = found[1], found[2]
    if kind in ("double-struck", "script"):
        names = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}
        for place in ("", "MATHEMATICAL "):  # some are older than the block of mathematical letters
            case = "CAPITAL" if name.isupper() else "SMALL"
            try:
                return (
                    f'<mi mathvariant="normal">{unicodedata.lookup(f"{place}{names[kind]} {case} {name.upper()}")}</mi>'
                )
            except KeyError:
                continue
    if kind == "bold":
        return f'<mi mathvariant="normal" style="font-weight: bold">{name}</mi>'
    return found[0]


def visit_math(self: Any, node: nodes.math) -> None:
    """Write a formula in a line of text."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a formula of its own."""
    self.body.append(f'<div class="math-block">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
