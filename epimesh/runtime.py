"""Where and how a run computes: device, precision, seed, and one stream of random numbers per purpose."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import torch

from epimesh.errors import BadInput

T = TypeVar("T")


@runtime_checkable
class Reporter(Protocol):
    """Hears how far a long loop is. The command line draws a bar; the default is silent."""

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` unchanged and reports each."""
        ...

    def warn(self, message: str) -> None:
        """Tells the person something they should know; the run goes on."""
        ...


class Silent:
    """The reporter that says nothing, but keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` unchanged."""
        return iter(items)

    def warn(self, message: str) -> None:
        """Keeps the message in `warnings`."""
        self.warnings.append(message)


@dataclass(frozen=True)
class Runtime:
    """How a run computes. Stages receive it; they never choose a device themselves.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA where there is one.
        seed: the same seed gives the same result on the same machine and versions.
        reporter: hears progress and warnings.
    """

    device: str = "auto"
    seed: int = 0
    reporter: Reporter = field(default_factory=Silent, compare=False)

    def __post_init__(self) -> None:
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if torch.cuda.is_available() else "cpu")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise BadInput(
                f"Device '{self.device}' was asked for, but this torch ({torch.__version__}) sees no CUDA device.\n"
                "Use --device cpu, or install a CUDA build of torch."
            )

    @property
    def dtype(self) -> torch.dtype:
        """Networks run in fp32 on a CPU (bf16 crawls on many), in fp16 on a GPU."""
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    def generator(self, purpose: str) -> torch.Generator:
        """A stream of random numbers of its own for `purpose`, so that one stage never changes another's noise.

        Always on the CPU: the same seed then draws the same noise on every device.
        """
        digest = hashlib.sha256(f"{self.seed}:{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
