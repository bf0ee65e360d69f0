"""The notebook of the guide runs, and shows what it promises."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "early_stopping.ipynb"


def test_a_notebook_stops_early_and_shows_plots(monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    epochs, best = (int(number) for number in outputs[2][0].text.replace(";", "").split() if number.isdecimal())
    assert best <= epochs < 60  # it stopped
    kinds = [{kind for output in some for kind in output.get("data", {})} for some in outputs]
    assert "text/html" in kinds[1]  # the estimator says what it is
    assert all("data:image/png;base64" in str(some) for some in outputs[3:5])  # plots inline
    assert "text/html" in kinds[5]  # and the prior shows samples
    shown = str(outputs[1])
    assert "SemiSupervisedAAE" in shown
    assert "widget-view" in shown or "step" in shown  # a bar
