"""Opens a published checkpoint without running anything that it may contain."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from epimesh.conversion.inert import stand_ins
from epimesh.errors import BadInput, BadWeights
from epimesh.files.kinds import SAFETENSORS, kind_of

_ZIP = b"PK\x03\x04"


def open_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, mapped from the file where its format allows, not read.

    Only tensors, numbers, words and their containers are unpickled. Classes of PyTorch Lightning, which old files name,
    are replaced by inert ones; a file that asks for anything else is refused.

    Raises:
        BadInput: there is no such file.
        BadWeights: damaged, cut off, with pickled code inside, or without tensors.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}.\nExpected a checkpoint (.ckpt, .pth or .safetensors).")
    kind = kind_of(path)
    if kind not in (None, SAFETENSORS):
        raise BadWeights(f"{path} is {kind}.\nExpected a checkpoint: get the file itself from its publisher.")
    try:
        if path.suffix == ".safetensors" or kind == SAFETENSORS:
            content: object = load_file(path)
        else:
            content = _unpickled(path)
    except pickle.UnpicklingError as error:
        raise BadWeights(
            f"{path} holds more than tensors, and nothing of it was run ({_first_lines(error)}).\n"
            "Expected a checkpoint of tensors and plain values. Get it from its publisher, and check the checksum."
        ) from error
    except Exception as error:  # changed bytes make the unpickler raise anything
        raise BadWeights(
            f"{path} ({path.stat().st_size} bytes) is damaged or cut off ({_first_lines(error)}).\n"
            "Download it again, and compare its size and checksum with those its publisher states."
        ) from error
    return _tensors(content, path)


def _unpickled(path: Path) -> object:
    with path.open("rb") as file:
        zipped = file.read(4) == _ZIP
    with torch.serialization.safe_globals(stand_ins(path) if zipped else []):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(one, Tensor) for one in inner.values()):
        raise BadWeights(
            f"{path} holds no table of tensors (found a {type(content).__name__}).\n"
            "Expected a Lightning checkpoint with a state_dict, or the state_dict itself."
        )
    return {str(name): tensor for name, tensor in inner.items()}


def _first_lines(error: Exception, length: int = 200) -> str:
    """What went wrong, without the colours of a terminal and without torch's advice to unpickle all the same."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    said = said.rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    text = " ".join(said.split()) or type(error).__name__
    return text if len(text) <= length else f"{text[:length]}..."
