"""Where weights are between uses: in memory, or in their file until a layer needs them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import safe_open
from torch import nn

from epimesh.weights.limits import finite


@runtime_checkable
class WeightLoader(Protocol):
    """Makes sure that the weights of some modules are there while they run."""

    def __call__(self, *modules: nn.Module) -> AbstractContextManager[None]:
        """The modules can run inside the context."""
        ...


@contextmanager
def resident(*modules: nn.Module) -> Iterator[None]:
    """Weights that are in memory all the time."""
    yield


class Streamed:
    """Weights that are read from their file when a layer runs, and dropped afterwards.

    A model of gigabytes then needs the memory of its largest layer. Every layer runs for all views before the next one
    does, so each is read once per step.

    Args:
        root: the model, on the meta device.
        file: its safetensors file.
        dtype: what they are read as.
    """

    def __init__(self, root: nn.Module, file: Path, dtype: torch.dtype = torch.float32) -> None:
        self.file = file
        self.dtype = dtype
        self._prefixes = {module: f"{name}." for name, module in root.named_modules() if name}

    @contextmanager
    def __call__(self, *modules: nn.Module) -> Iterator[None]:
        """Reads the weights of the modules, and drops them at the end."""
        with safe_open(self.file, "pt") as stored:
            for module in modules:
                names = list(module.state_dict())
                prefix = self._prefixes[module]
                state = {name: self._read(stored, prefix + name) for name in names}
                module.load_state_dict(state, assign=True)
        try:
            yield
        finally:
            for module in modules:
                module.to("meta")

    def _read(self, stored: safe_open, name: str) -> torch.Tensor:
        return finite(stored.get_tensor(name).to(self.dtype), name, self.file)
