"""Opens the parts of converted weights: strict on every key, and without a second copy in memory."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from epimesh import weights
from epimesh.diffusion.autoencoder import KlAutoencoder, class_name, load_network
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.downloads import folders
from epimesh.downloads.folders import current_names
from epimesh.errors import BadWeights

AGAIN = "Convert the published checkpoint again: epimesh convert --help"


# What public copies in diffusers layout call the same things. Those of the pose layer have one linear layer, too.
PARTS = ("unet", "vae", "image_encoder", "photo_token|cc_projection|clip_camera_projection", "scheduler")
_SAME_PART = {"photo_token": ("photo_token", "cc_projection", "clip_camera_projection")}
_SAME_CLASS = {"PhotoToken": ("PhotoToken", "CCProjection", "CLIPCameraProjection")}
_SAME_TENSOR = {"proj.weight": "projection.weight", "proj.bias": "projection.bias"}


def part(source: str, name: str, parts: Sequence[str] = ()) -> Path:
    """The folder of one part of published weights, converted here or in the layout of public copies.

    Args:
        source: of the whole.
        name: of the part, as converted folders have it.
        parts: all that are needed of the whole.

    Raises:
        WeightsNotFound: there is nothing at `source`.
        BadWeights: the part is missing.
    """
    whole = weights.resolve(source, parts)
    for folder in (whole / one for one in _SAME_PART.get(name, (name,))):
        if folder.is_dir():
            return folder
    raise BadWeights(f"{whole} has no part '{name}'.\n{AGAIN}")


def weights_file(folder: Path) -> Path:
    """The safetensors file of a part.

    Raises:
        BadWeights: there is none, or it is not clear which one to take.
    """
    return folders.weights_file(folder, AGAIN)


def load_part(kind: Any, folder: Path, *, on_meta: bool = False) -> Any:
    """A diffusers model in fp32 from a part; on the meta device if its weights will be streamed.

    Raises:
        BadWeights: another class, a damaged file, keys or shapes that do not fit.
    """
    found = class_name(folder)
    if found not in _SAME_CLASS.get(kind.__name__, (kind.__name__,)):
        raise BadWeights(f"{folder} holds a {found}, expected a {kind.__name__}.\n{AGAIN}")
    file = weights_file(folder)
    try:
        with safe_open(file, "pt") as stored:
            stored_as = {_SAME_TENSOR.get(name, name): name for name in stored.offset_keys()}
            shapes = {name: tuple(stored.get_slice(old).get_shape()) for name, old in stored_as.items()}
            model = empty(kind, _config(kind, folder, shapes))
            check_shapes(model, shapes, str(file))
            if not on_meta:
                state = {name: stored.get_tensor(old).float() for name, old in stored_as.items()}
                model.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        if isinstance(error, BadWeights):
            raise
        raise BadWeights(f"{file} cannot be read ({type(error).__name__}: {error}).\n{AGAIN}") from error
    return model.eval().requires_grad_(False)


def _config(kind: Any, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """What a part says of itself; public copies do not say how wide their pose layer is, so its shape does."""
    config = kind.load_config(folder)
    if kind.__name__ != "PhotoToken" or config["_class_name"] == "PhotoToken":
        return config
    width, joined = shapes.get("projection.weight", (0, 0))
    return {"clip_width": width, "pose_width": joined - width}


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
        config = CLIPVisionConfig(**json.loads((folder / "config.json").read_text()))
        model = CLIPVisionModelWithProjection(config)
        with safe_open(file, "pt") as stored:
            state = current_names({name: stored.get_tensor(name).float() for name in stored.offset_keys()})
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
