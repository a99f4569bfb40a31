"""Where and how a run computes: device, precision, seed, and one stream of random numbers per purpose."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar, runtime_checkable

import torch

from epimesh.errors import BadInput

T = TypeVar("T")
Precision = Literal["auto", "fp32", "fp16", "bf16"]
_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_UNITS = {"MB": 1e6, "GB": 1e9}


@runtime_checkable
class Reporter(Protocol):
    """Hears how far a long loop is. The command line draws a bar; the default is silent."""

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` unchanged and reports each."""
        ...

    def warn(self, message: str) -> None:
        """Tells the person something they should know; the run goes on."""
        ...

    def note(self, message: str) -> None:
        """Tells a fact about what is being made, which is kept with the run."""
        ...

    def busy(self, slot: str) -> AbstractContextManager[None]:
        """Shows that a slot of the pipeline, or the turntable, is at work inside."""
        ...


@runtime_checkable
class HoldsModels(Protocol):
    """What loads weights and can drop them."""

    def release(self) -> None: ...


class Silent:
    """The reporter that says nothing, but keeps warnings and notes."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` unchanged."""
        return iter(items)

    def warn(self, message: str) -> None:
        """Keeps the message in `warnings`."""
        self.warnings.append(message)

    def note(self, message: str) -> None:
        """Keeps the message in `notes`."""
        self.notes.append(message)

    def busy(self, slot: str) -> AbstractContextManager[None]:
        """Shows nothing."""
        return nullcontext()


@dataclass(frozen=True)
class Runtime:
    """How a run computes. Stages receive it; they never choose a device themselves.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA where there is one.
        seed: the same seed gives the same result on the same machine and versions.
        reporter: hears progress and warnings.
        precision: of the networks; "auto" is fp32 on a CPU (bf16 crawls on those without AMX) and fp16 on a GPU.
        max_memory_bytes: what stages that can trade memory for time may use; None is no limit. Results stay the same.
        keep_models: weights stay in memory after their stage, for the next photo; who asks for it releases them.
    """

    device: str = "auto"
    seed: int = 0
    reporter: Reporter = field(default_factory=Silent, compare=False)
    precision: Precision = "auto"
    max_memory_bytes: int | None = None
    keep_models: bool = False

    def __post_init__(self) -> None:
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if torch.cuda.is_available() else "cpu")
        _check_device(self.device)
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise BadInput(
                f"Device '{self.device}' was asked for, but this torch ({torch.__version__}) sees no CUDA device.\n"
                "Use --device cpu, or install a CUDA build of torch."
            )

    @property
    def dtype(self) -> torch.dtype:
        """What networks run in."""
        if self.precision != "auto":
            return _TYPES[self.precision]
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    def generator(self, purpose: str) -> torch.Generator:
        """A stream of random numbers of its own for `purpose`, so that one stage never changes another's noise.

        Always on the CPU: the same seed then draws the same noise on every device.
        """
        digest = hashlib.sha256(f"{self.seed}:{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

    def done_with(self, stage: "HoldsModels") -> None:
        """Releases what a stage loaded, unless it is kept for the next photo."""
        if not self.keep_models:
            stage.release()

    def apart(self, purpose: str) -> "Runtime":
        """The same with other random numbers, which follow from this seed and `purpose`."""
        return replace(self, seed=int(torch.randint(2**31, (), generator=self.generator(purpose))))


def _check_device(name: str) -> None:
    """Refuses what torch knows under no name, and what this machine does not have, before anything is computed."""
    kind, _, number = name.partition(":")
    known = kind in ("cpu", "cuda", "mps") and (not number or number.isdecimal())
    if not known or (kind == "mps" and not torch.backends.mps.is_available()):
        found = "is not here" if known else "is none that runs here"
        raise BadInput(f"The device '{name[:60]}' {found}.\nExpected --device auto, cpu, cuda, cuda:1 or mps (Apple).")
    if kind == "cuda" and number and torch.cuda.is_available() and int(number) >= torch.cuda.device_count():
        raise BadInput(
            f"There is no device '{name[:60]}', but {torch.cuda.device_count()} CUDA devices from cuda:0 on.\n"
            "Expected --device with one of those."
        )


def bytes_of(amount: str | None) -> int | None:
    """How many bytes an amount such as "4GB" or "800MB" is; None stays None.

    Raises:
        BadInput: it is not a positive number with a unit.
    """
    if amount is None:
        return None
    number, unit = amount[:-2].strip(), amount[-2:].upper()
    try:
        found = round(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found <= 0:
        raise BadInput(f"--max-memory is '{amount}'.\nExpected an amount with its unit, such as 4GB or 800MB.")
    return found
