"""Opens the parts of converted weights: strict on every key, and without a second copy in memory."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from epimesh import weights
from epimesh.diffusion.autoencoder import KlAutoencoder, class_name, load_network
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadWeights

AGAIN = "Convert the published checkpoint again: epimesh convert --help"


def part(source: str, name: str) -> Path:
    """The folder of one part of converted weights.

    Raises:
        WeightsNotFound: there is nothing at `source`.
        BadWeights: the part is missing.
    """
    folder = weights.resolve(source) / name
    if not folder.is_dir():
        raise BadWeights(f"{folder.parent} has no part '{name}'.\n{AGAIN}")
    return folder


def weights_file(folder: Path) -> Path:
    """The one safetensors file of a part.

    Raises:
        BadWeights: there is none, or several.
    """
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise BadWeights(f"{folder} holds {len(files)} safetensors files, expected one.\n{AGAIN}")
    return files[0]


def load_part(kind: Any, folder: Path, *, on_meta: bool = False) -> Any:
    """A diffusers model in fp32 from a part; on the meta device if its weights will be streamed.

    Raises:
        BadWeights: another class, a damaged file, keys or shapes that do not fit.
    """
    found = class_name(folder)
    if found != kind.__name__:
        raise BadWeights(f"{folder} holds a {found}, expected a {kind.__name__}.\n{AGAIN}")
    file = weights_file(folder)
    try:
        model = empty(kind, kind.load_config(folder))
        with safe_open(file, "pt") as stored:
            check_shapes(
                model, {name: tuple(stored.get_slice(name).get_shape()) for name in stored.offset_keys()}, str(file)
            )
            if not on_meta:
                state = {name: stored.get_tensor(name).float() for name in stored.offset_keys()}
                model.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        if isinstance(error, BadWeights):
            raise
        raise BadWeights(f"{file} cannot be read ({type(error).__name__}: {error}).\n{AGAIN}") from error
    return model.eval().requires_grad_(False)


def empty(kind: Any, config: Any) -> Any:
    """A model without weights, on the meta device."""
    with torch.device("meta"):
        return kind.from_config(config)


def check_shapes(model: torch.nn.Module, found: dict[str, tuple[int, ...]], where: str) -> None:
    """Compares names and shapes with those that a model has.

    Raises:
        BadWeights: they differ; the message names some.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    wrong = [
        f"{name} {found[name]} instead of {wanted[name]}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    if missing or unknown or wrong:
        raise BadWeights(
            f"{where} does not fit a {type(model).__name__}: missing {_some(missing)}; unknown {_some(unknown)}; "
            f"of another shape {_some(wrong)}.\n{AGAIN}"
        )


def _some(names: Iterable[str], shown: int = 3) -> str:
    names = list(names)
    if not names:
        return "nothing"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def load_image_encoder(folder: Path) -> Any:
    """CLIP's image tower, a `CLIPVisionModelWithProjection`.

    Raises:
        BadWeights: damaged, or keys and shapes that do not fit.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    file = weights_file(folder)
    try:
        config = CLIPVisionConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        model = CLIPVisionModelWithProjection(config)
        with safe_open(file, "pt") as stored:
            state = {name: stored.get_tensor(name).float() for name in stored.offset_keys()}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise BadWeights(f"{folder} cannot be read ({type(error).__name__}: {error}).\n{AGAIN}") from error
    check_shapes(model, {name: tuple(tensor.shape) for name, tensor in state.items()}, str(file))
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def load_kl_autoencoder(folder: Path) -> KlAutoencoder:
    """Stable Diffusion's autoencoder."""
    from diffusers import AutoencoderKL

    return KlAutoencoder(load_network(AutoencoderKL, folder))


def load_schedule(folder: Path) -> NoiseSchedule:
    """The schedule of a part; sampling ends at time 0, not at the clean signal.

    Raises:
        BadWeights: there is none, or not one of these models.
    """
    from diffusers import DDIMScheduler

    try:
        config = DDIMScheduler.load_config(folder)
        fits = config["beta_schedule"] == "scaled_linear" and config["prediction_type"] == "epsilon"
        schedule = NoiseSchedule.scaled_linear(
            int(config["num_train_timesteps"]),
            first=float(config["beta_start"]),
            last=float(config["beta_end"]),
            ends_clean=bool(config["set_alpha_to_one"]),
        )
    except (OSError, KeyError, ValueError) as error:
        raise BadWeights(f"{folder} has no usable scheduler_config.json ({type(error).__name__}).\n{AGAIN}") from error
    if not fits:
        raise BadWeights(f"{folder} is not the schedule of a published model (scaled_linear, epsilon).\n{AGAIN}")
    return schedule
