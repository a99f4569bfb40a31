"""What weights may be: configurations that their tensors bear out, and numbers that are finite."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from epimesh.errors import BadWeights

_USUAL = 10_000  # steps of a schedule, sizes of vocabularies, and the like


def check_config(config: Any, file: Path) -> None:
    """Refuses whole numbers that are larger than anything in the file of tensors, and than all that is usual.

    A network is built from its configuration before its shapes can be compared. So one that says a thousand million
    layers would take the machine down first.

    Args:
        config: of a diffusers or transformers model.
        file: its tensors; only the header is read.

    Raises:
        BadWeights: the configuration cannot belong to these tensors.
        OSError, SafetensorError: the file cannot be read.
    """
    with safe_open(file, "pt") as stored:
        names = list(stored.offset_keys())
        sizes = [max(stored.get_slice(name).get_shape(), default=1) for name in names]
    most = max([_USUAL, len(names), *sizes])
    for name, value in _numbers(config, "", 0):
        if abs(value) > most:
            raise BadWeights(
                f"{file.parent} has a config.json with {name} = {str(value)[:20]}, which its {len(names)} tensors do "
                "not bear out.\nIt is damaged or made to exhaust the machine: download or export the folder again."
            )


def finite(tensor: Float[Tensor, "*shape"], name: str, file: Path) -> Float[Tensor, "*shape"]:
    """The tensor itself, if all its numbers are finite: a single other one spoils all that a network says.

    Raises:
        BadWeights: it holds NaN or infinity.
    """
    # Both survive a sum, which unlike a comparison needs no second tensor; only an overflow looks the same.
    if bool(tensor.sum(dtype=torch.float32).isfinite()) or bool(tensor.isfinite().all()):
        return tensor
    wrong = int((~tensor.isfinite()).sum())
    raise BadWeights(
        f"{file}: {wrong} of the {tensor.numel()} numbers of {name} are NaN or infinite.\n"
        "Their training diverged, or the file is damaged: take an earlier checkpoint, or download it again."
    )


def _numbers(value: Any, name: str, depth: int) -> Iterator[tuple[str, int]]:
    """All whole numbers in a configuration, with their names."""
    if depth > 20:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}".strip("."), depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, name, depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value
