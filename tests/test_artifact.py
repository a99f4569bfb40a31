"""Artifacts: what is saved is read back bit for bit, and what cannot be is refused by name."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.errors import BadInput


@dataclass(frozen=True, eq=False)
class Label(Artifact):
    text: str
    weight: float


@dataclass(frozen=True, eq=False)
class Box(Artifact):
    corners: Tensor
    label: Label
    lid: Tensor | None = None

    @classmethod
    def _part(cls, name: str) -> type[Artifact]:
        return {"label": Label}.get(name) or super()._part(name)


def test_reading_back_gives_bitwise_the_same_also_of_what_is_inside_and_of_none(tmp_path: Path) -> None:
    box = Box(torch.randn(4, 3), Label("a box", 0.1 + 0.2))
    box.save(tmp_path / "box")
    again = Box.load(tmp_path / "box")
    assert torch.equal(again.corners, box.corners)
    assert (again.label.text, again.label.weight, again.lid) == ("a box", 0.1 + 0.2, None)


def test_tensors_lie_in_safetensors_words_in_json_and_nothing_else_is_needed(tmp_path: Path) -> None:
    Box(torch.ones(2), Label("x", 1.0), torch.zeros(1)).save(tmp_path / "box")
    assert sorted(path.name for path in (tmp_path / "box").iterdir()) == ["label", "tensors.safetensors", "values.json"]
    assert set(load_file(tmp_path / "box" / "tensors.safetensors")) == {"corners", "lid"}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "values.json").unlink(), "does not hold a saved Box"),
        (lambda folder: (folder / "tensors.safetensors").write_bytes(b"no"), "does not hold a saved Box"),
        (lambda folder: (folder / "values.json").write_text('{"lid": null, "colour": 1}'), "holds the fields"),
    ],
    ids=["a file is missing", "a file is damaged", "a field of another version"],
)
def test_what_is_no_saved_object_of_the_class_is_refused(tmp_path: Path, harm: object, words: str) -> None:
    Box(torch.ones(2), Label("x", 1.0)).save(tmp_path / "box")
    harm(tmp_path / "box")  # type: ignore[operator]
    with pytest.raises(BadInput, match=words):
        Box.load(tmp_path / "box")
