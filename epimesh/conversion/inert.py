"""Classes of PyTorch Lightning that old checkpoints name, as things that cannot do anything."""

from collections.abc import Iterable
from pathlib import Path

import torch

_ROOMS = ("pytorch_lightning.",)


class Inert:
    """Stands for a class that a checkpoint names. It keeps nothing that it is given, and nothing of the class runs."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def stand_ins(path: Path) -> list[tuple[type, str]]:
    """One inert class for every class of PyTorch Lightning that a checkpoint names, ready for torch's `safe_globals`.

    Lightning 1.4 keyed the state of its callbacks by their classes, so files of that time (zero123-xl.ckpt) name some.
    Those that the file names from elsewhere get none, so torch refuses the file as before.

    Raises:
        RuntimeError, ValueError: not a checkpoint in torch's zip format.
    """
    named: Iterable[str] = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(type(name.rpartition(".")[2], (Inert,), {}), name) for name in named if name.startswith(_ROOMS)]
