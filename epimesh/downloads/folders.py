"""What differs between folders of one model: several versions of the weights, names of older diffusers versions."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from epimesh.errors import BadWeights

T = TypeVar("T")

# Stored by transformers until 4.31: numbers of the positions, which are not weights.
_NOT_WEIGHTS = ("vision_model.embeddings.position_ids", "text_model.embeddings.position_ids", "embeddings.position_ids")
# Attention of autoencoders until diffusers 0.17.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(r"(\.attentions\.\d+\.)(query|key|value|proj_attn)\.(?=weight|bias)")


def weights_file(folder: Path, again: str) -> Path:
    """The safetensors file of a folder; of several versions the one in full precision.

    Args:
        folder: of one network.
        again: what to do where there is none, for the message.

    Raises:
        BadWeights: there is none, or it is not clear which one to take.
    """
    files = sorted(folder.glob("*.safetensors"))
    plain = [file for file in files if file.name.count(".") == 1] or files
    if len(plain) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise BadWeights(
            f"{folder} holds {len(files)} safetensors files ({names}).\nExpected one, or one without variant. {again}"
        )
    return plain[0]


def current_names(tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors under the names that diffusers and transformers use today. Nothing but known old names changes."""
    return {
        _OLD.sub(lambda found: f"{found[1]}{_OLD_ATTENTION[found[2]]}.", name): tensor
        for name, tensor in tensors.items()
        if name not in _NOT_WEIGHTS
    }
