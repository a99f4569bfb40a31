"""Weights in eight bits: a quarter of the size of single precision, for networks that ship with the package.

A matrix or kernel is kept as int8, and its rows (output channels) as multiples of one step each, in `NAME:step`.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

STEP = ":step"
_LARGEST = 127


def save_rounded(network: Any, folder: Path) -> None:
    """Writes a diffusers model, matrices and kernels in eight bits, everything else in half precision."""
    network.save_config(folder)
    stored: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if tensor.dim() < 2:
            stored[name] = tensor.half()
            continue
        step = tensor.float().flatten(1).abs().amax(1).clamp_min(1e-8) / _LARGEST
        step = step.half()
        rows = tensor.float() / step.float().reshape(-1, *[1] * (tensor.dim() - 1))
        stored[name] = rows.round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
        stored[name + STEP] = step
    stored = {name: tensor.contiguous() for name, tensor in stored.items()}
    save_file(stored, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def stored_names(stored: safe_open) -> list[str]:
    """The names of the tensors in a file, without those that only say how others were rounded."""
    return [name for name in stored.offset_keys() if not name.endswith(STEP)]


def restored(stored: safe_open, name: str) -> Float[Tensor, "*shape"]:
    """A tensor of a file in single precision, rounded or not."""
    tensor = stored.get_tensor(name)
    if tensor.dtype != torch.int8:
        return tensor.float()
    step = stored.get_tensor(name + STEP).float()
    return tensor.float() * step.reshape(-1, *[1] * (tensor.dim() - 1))
