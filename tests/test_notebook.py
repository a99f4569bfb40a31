"""The notebook of the examples: its cells run one after the other, as a person would run them."""

import json
import shutil
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "first_steps.ipynb"


def code_cells() -> list[str]:
    """All but the one that installs."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    ours = [cell for cell in cells if cell["cell_type"] == "code" and "install" not in cell["metadata"].get("tags", [])]
    return ["".join(cell["source"]) for cell in ours]


def test_the_notebook_is_saved_without_outputs_and_every_cell_is_python() -> None:
    content = json.loads(NOTEBOOK.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    assert [cell["id"] for cell in content["cells"] if cell.get("outputs") or cell.get("execution_count")] == []
    for cell in code_cells():
        compile(cell, NOTEBOOK.name, "exec")


@pytest.mark.slow
def test_every_cell_runs_after_the_ones_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(NOTEBOOK.parent / "bird.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in code_cells():
        exec(compile(cell, NOTEBOOK.name, "exec"), names)
    for name in ("bird.glb", "bird.stl", "bird_again.glb"):
        assert (tmp_path / name).stat().st_size > 1000
    assert len(list((tmp_path / "runs/bird").glob("*-decode-*"))) == 1  # the swapped stage made nothing before it again
    assert len(list((tmp_path / "runs/bird").glob("*-reconstruct-*"))) == 2
