"""Writes safetensors files tensor by tensor, so that a model of gigabytes needs the memory of one tensor."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
_ALIGNMENT = 8


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], make: Callable[[str], Tensor], dtype: torch.dtype
) -> None:
    """Writes one file.

    Args:
        path: of the file; its folder has to exist.
        shapes: of all tensors, by name.
        make: gives a tensor by name, of that shape; called once for each.
        dtype: in which they are stored.

    Raises:
        ValueError: a tensor has another shape than announced.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + dtype.itemsize * torch.Size(shape).numel()
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes.items():
            tensor = make(name)
            if tuple(tensor.shape) != tuple(shape):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, but {tuple(shape)} was announced")
            file.write(tensor.to(dtype).contiguous().flatten().view(torch.uint8).numpy().data)
