"""Formulas as MathML, which browsers draw themselves: the guide needs no network and no script for them."""

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
    r"\arg\max": r"\operatorname{arg\,max}",
}


def mathml(text: str, display: str) -> str:
    """Convert LaTeX to one element of MathML."""
    for command, other in COMMANDS.items():
        text = text.replace(command, other)
    return str(convert(text, display=display))


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
