"""The notebook runs as it stands, and shows what it is to show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


@pytest.mark.timeout(240)
def test_the_notebook(tmp_path: Path) -> None:
    """The cell that shows the image is at its end when that is; an item shows itself."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": tmp_path}}).execute()
    cells = {cell["id"]: cell for cell in notebook.cells}
    [shown] = [out for out in cells["show"].outputs if out.output_type == "display_data"]
    assert "PARTIAL" in shown.data["text/html"]
    assert "4 failed" in shown.data["text/html"]
    assert shown.data["text/html"].count("<rect") == 64
    [item] = cells["item"].outputs
    assert "60 of 64 regions" in item.data["text/html"]
    assert cells["bar"].outputs[-1].data["text/plain"] == "'SUCCESS'"
