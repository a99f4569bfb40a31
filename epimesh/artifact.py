"""What a stage hands to the next: a frozen object that can be saved to a folder and read back without loss.

Tensors go to `tensors.safetensors`, numbers and words to `values.json`, artifacts inside an artifact to subfolders, and
`preview.png` is a picture for people. Reading back gives bitwise the same object, so a resumed run equals an
uninterrupted one.
"""

import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import TypeCheckError
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from epimesh.errors import BadInput

A = TypeVar("A", bound="Artifact")


class Artifact:
    """Base of the nouns. Subclasses are frozen dataclasses of tensors, plain values, and other artifacts."""

    def preview(self) -> Image.Image | None:
        """A picture of this object for people to look at, or None."""
        return None

    def __repr__(self) -> str:
        """The class with the shapes of its tensors: their numbers would fill pages."""
        parts = (f"{field.name}={_brief(getattr(self, field.name))}" for field in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_png_(self) -> bytes | None:
        """The picture, as notebooks show it."""
        picture = self.preview()
        if picture is None:
            return None
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        return buffer.getvalue()

    def save(self, folder: str | Path) -> None:
        """Writes this object into `folder`, which is created."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, torch.Tensor] = {}
        values: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Artifact):
                value.save(folder / field.name)
            elif isinstance(value, torch.Tensor):
                tensors[field.name] = value.detach().cpu().contiguous()
            else:
                values[field.name] = value
        save_file(tensors, folder / "tensors.safetensors")
        (folder / "values.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
        if (picture := self.preview()) is not None:
            picture.save(folder / "preview.png")

    @classmethod
    def load(cls: type[A], folder: str | Path) -> A:
        """Reads what `save` wrote.

        Raises:
            BadInput: the folder does not hold a saved object of this class.
        """
        folder = Path(folder)
        try:
            found: dict[str, Any] = dict(load_file(folder / "tensors.safetensors"))
            found.update(json.loads((folder / "values.json").read_text(encoding="utf-8")))
        except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
            raise BadInput(
                f"{folder} does not hold a saved {cls.__name__} ({error}).\n"
                f"A saved {cls.__name__} is a folder with tensors.safetensors and values.json; write one with .save()."
            ) from error
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name not in found and (folder / field.name).is_dir():
                found[field.name] = cls._part(field.name).load(folder / field.name)
        expected = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if set(found) != expected:
            raise BadInput(
                f"{folder} holds the fields {sorted(found)}, but a {cls.__name__} has {sorted(expected)}.\n"
                "It was written by another version or for another class: make it again."
            )
        try:
            return cls(**found)
        except (TypeError, TypeCheckError) as error:
            raise BadInput(
                f"{folder} holds values of other kinds or shapes than a {cls.__name__} has.\n"
                "It is damaged or was written for another class: make it again."
            ) from error

    @classmethod
    def _part(cls, name: str) -> "type[Artifact]":
        """The class of the artifact field `name`; artifacts that hold artifacts say so here."""
        raise BadInput(f"{cls.__name__} has no artifact called '{name}'.")


def _brief(value: Any) -> str:
    return f"<{' x '.join(map(str, value.shape))}>" if isinstance(value, torch.Tensor) else repr(value)
