"""What Zero123++ reads of its published folder besides UNet and autoencoder: the empty prompt and the ramp."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from epimesh.downloads.folders import current_names
from epimesh.errors import BadWeights
from epimesh.weights.limits import finite
from epimesh.weights.loading import AGAIN, check_shapes, weights_file

_START, _END, _PAD = "<|startoftext|>", "<|endoftext|>", "!"


def empty_prompt(tokenizer: Path, length: int) -> Int[Tensor, "1 L"]:
    """The words of the empty prompt: start, end, then padding as this model has it.

    Raises:
        BadWeights: the vocabulary is not CLIP's.
    """
    try:
        words = json.loads((tokenizer / "vocab.json").read_text())
        first, last, pad = (int(words[word]) for word in (_START, _END, _PAD))
    except (OSError, ValueError, KeyError) as error:
        raise BadWeights(f"{tokenizer} has no usable vocab.json ({type(error).__name__}: {error}).\n{AGAIN}") from error
    return torch.tensor([[first, last, *[pad] * (length - 2)]])


def load_text_encoder(folder: Path) -> Any:
    """CLIP's text tower, in fp32.

    Raises:
        BadWeights: damaged, or keys and shapes that do not fit.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    file = weights_file(folder)
    try:
        model = CLIPTextModel(CLIPTextConfig(**json.loads((folder / "config.json").read_text())))
        with safe_open(file, "pt") as stored:
            state = current_names({name: stored.get_tensor(name).float() for name in stored.offset_keys()})
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise BadWeights(f"{folder} cannot be read ({type(error).__name__}: {error}).\n{AGAIN}") from error
    if not any(name.startswith("text_model.") for name in model.state_dict()):  # since transformers 5
        state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    check_shapes(model, {name: tuple(tensor.shape) for name, tensor in state.items()}, str(file))
    model.load_state_dict({name: finite(tensor, name, file) for name, tensor in state.items()}, assign=True)
    return model.eval().requires_grad_(False)


def ramp(whole: Path, length: int) -> Float[Tensor, "L"]:
    """How much of the photo's embedding each word of the prompt gets.

    Raises:
        BadWeights: model_index.json does not say.
    """
    try:
        values = json.loads((whole / "model_index.json").read_text())["ramping_coefficients"]
        found = torch.tensor([float(value) for value in values])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadWeights(
            f"{whole} has no model_index.json with ramping_coefficients ({type(error).__name__}).\n{AGAIN}"
        ) from error
    if len(found) != length:
        raise BadWeights(f"{whole} has {len(found)} ramping_coefficients, expected {length}.\n{AGAIN}")
    return found


def check_schedule(folder: Path) -> None:
    """Refuses another schedule than the published one.

    Raises:
        BadWeights: it differs, or is not there.
    """
    wanted = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "prediction_type": "v_prediction"}
    try:
        config = json.loads((folder / "scheduler_config.json").read_text())
    except (OSError, ValueError) as error:
        raise BadWeights(f"{folder} has no usable scheduler_config.json ({type(error).__name__}).\n{AGAIN}") from error
    wrong = {name: config.get(name) for name, value in wanted.items() if config.get(name) != value}
    if wrong:
        raise BadWeights(f"{folder} has the schedule {wrong}.\nExpected {wanted}: it is of another model. {AGAIN}")
