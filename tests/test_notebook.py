"""The notebook runs completely, with fewer fine-tuning steps."""

import pathlib
import re

import keras
import pytest

NOTEBOOK = (
    pathlib.Path(__file__).parents[1] / "notebooks/segment_your_photos.ipynb"
)


@pytest.mark.any_backend
def test_the_notebook_runs(monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    settings = notebook.cells[1]
    settings.source, count = re.subn(
        r"STEPS = \d+", "STEPS = 10", settings.source
    )
    assert count == 1
    nbclient.NotebookClient(notebook, timeout=600).execute()
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 6
    printed = "".join(o.get("text", "") for o in outputs)
    same = float(re.search(r"([\d.]+) % of the pixels", printed)[1])
    assert same >= 99.9
