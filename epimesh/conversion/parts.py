"""One part of a converted model: where each of its tensors comes from, and how it is written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from epimesh.conversion.writing import write_safetensors
from epimesh.weights.loading import check_shapes

Change = Literal["none", "transposed", "flattened", "query", "key", "value"]
_THIRDS: dict[Change, int] = {"query": 0, "key": 1, "value": 2}


@dataclass(frozen=True)
class Origin:
    """The published tensor that a converted one is made of.

    Args:
        key: its name in the checkpoint.
        change: what is done to it; query, key and value are the thirds of a joined projection.
    """

    key: str
    change: Change = "none"

    def shape(self, found: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a published shape becomes."""
        return tuple(self.made(torch.empty(found, device="meta")).shape)

    def made(self, tensor: Tensor) -> Tensor:
        """The converted tensor."""
        if self.change == "transposed":
            return tensor.T
        if self.change == "flattened":  # a 1 x 1 convolution as a linear layer
            return tensor[..., 0, 0] if tensor.dim() == 4 else tensor
        if self.change in _THIRDS:
            return tensor.chunk(3)[_THIRDS[self.change]]
        return tensor


@dataclass(frozen=True, eq=False)
class Part:
    """One folder of the converted model.

    Args:
        folder: its name.
        model: the network it is for, on the meta device.
        origins: where every tensor comes from, by its new name.
    """

    folder: str
    model: nn.Module
    origins: Mapping[str, Origin]

    def check(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
        """Compares names and shapes with those of the network.

        Raises:
            BadWeights: they differ.
        """
        check_shapes(self.model, self._shapes(shapes), where)

    def write(self, tensors: Mapping[str, Tensor], out: Path, dtype: torch.dtype) -> None:
        """Writes weights and config."""
        folder = out / self.folder
        folder.mkdir(parents=True)
        config: Any = self.model.config
        if self.folder == "image_encoder":
            file = "model.safetensors"
            config.architectures = [type(self.model).__name__]
            config.save_pretrained(folder)
        else:
            file = "diffusion_pytorch_model.safetensors"
            self.model.save_config(folder)
        self._add_class_name(folder / "config.json")
        shapes = self._shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        write_safetensors(
            folder / file, shapes, lambda name: self.origins[name].made(tensors[self.origins[name].key]), dtype
        )

    def _shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {name: origin.shape(shapes[origin.key]) for name, origin in self.origins.items()}

    def _add_class_name(self, file: Path) -> None:
        config = json.loads(file.read_text(encoding="utf-8"))
        config["_class_name"] = type(self.model).__name__
        file.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
