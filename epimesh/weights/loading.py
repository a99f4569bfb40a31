"""From a folder of weights to a network, strict on every key and shape: folders in diffusers format, each one model."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from epimesh.downloads import folders
from epimesh.downloads.folders import current_names
from epimesh.errors import BadWeights
from epimesh.weights.limits import check_config, finite
from epimesh.weights.rounded import restored, stored_names
from epimesh.weights.sources import resolve

AGAIN = "Export or download the folder again; of a published checkpoint, convert it again: epimesh convert --help"


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
    whole = resolve(source, parts)
    for folder in (whole / one for one in _SAME_PART.get(name, (name,))):
        if folder.is_dir():
            return folder
    raise BadWeights(f"{whole} has no part '{name}'.\n{AGAIN}")


def class_name(folder: Path) -> str:
    """The class that a weights folder was saved from.

    Raises:
        BadWeights: there is no readable `config.json`.
    """
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadWeights(
            f"{folder} has no usable config.json ({type(error).__name__}: {error}).\n"
            f"Expected a folder in diffusers format. {AGAIN}"
        ) from error


def weights_file(folder: Path) -> Path:
    """The safetensors file of a part.

    Raises:
        BadWeights: there is none, or it is not clear which one to take.
    """
    return folders.weights_file(folder, AGAIN)


def load_network(kind: Any, folder: Path) -> Any:
    """A diffusers model of class `kind` from a folder, in fp32, every key and shape checked.

    Raises:
        BadWeights: another class, a damaged file, or keys and shapes that do not fit.
    """
    from diffusers.utils import logging

    file = _file_of(kind, folder)
    logging.set_verbosity_error()
    with _as_bad_weights(file):
        config = _config(kind, folder, file)
        check_config(config, file)
        _check_file(file, empty(kind, config))
        network = kind.from_config(config)
        network.load_state_dict(_state(file, network))
    return network.eval()


def load_part(kind: Any, folder: Path, *, on_meta: bool = False) -> Any:
    """The same for large models: frozen, without a second copy in memory; on the meta device if weights are streamed.

    Raises:
        BadWeights: another class, a damaged file, keys or shapes that do not fit.
    """
    file = _file_of(kind, folder)
    with _as_bad_weights(file):
        config = _config(kind, folder, file)
        check_config(config, file)
        model = empty(kind, config)
        if on_meta:
            _check_file(file, model)
        else:
            model.load_state_dict(_state(file, model), assign=True)
    return model.eval().requires_grad_(False)


def load_image_encoder(folder: Path) -> Any:
    """CLIP's image tower, a `CLIPVisionModelWithProjection`.

    Raises:
        BadWeights: damaged, or keys and shapes that do not fit.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    file = weights_file(folder)
    with _as_bad_weights(folder):
        config = CLIPVisionConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        check_config(config.to_dict(), file)
        model = CLIPVisionModelWithProjection(config)
        model.load_state_dict(_state(file, model), assign=True)
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


def _file_of(kind: Any, folder: Path) -> Path:
    found = class_name(folder)
    if found not in _SAME_CLASS.get(kind.__name__, (kind.__name__,)):
        raise BadWeights(f"{folder} holds a {found}.\nExpected a {kind.__name__}. Give another folder. {AGAIN}")
    return weights_file(folder)


def _config(kind: Any, folder: Path, file: Path) -> Any:
    """What a part says of itself; public copies do not say how wide their pose layer is, so its shape does."""
    config = kind.load_config(folder)
    if kind.__name__ != "PhotoToken" or config["_class_name"] == "PhotoToken":
        return config
    width, joined = _shapes(file, kind.__name__).get("projection.weight", (0, 0))
    return {"clip_width": width, "pose_width": joined - width}


def _stored_as(names: Iterable[str], kind: str) -> dict[str, str]:
    """The names of today of what a file stores, and those that the file has."""
    renamed = current_names({name: name for name in names})
    same = _SAME_TENSOR if kind == "PhotoToken" else {}
    return {same.get(new, new): old for new, old in renamed.items()}


def _shapes(file: Path, kind: str) -> dict[str, tuple[int, ...]]:
    with safe_open(file, "pt") as stored:
        names = _stored_as(stored_names(stored), kind)
        return {new: tuple(stored.get_slice(old).get_shape()) for new, old in names.items()}


def _check_file(file: Path, model: torch.nn.Module) -> None:
    check_shapes(model, _shapes(file, type(model).__name__), str(file))


def _state(file: Path, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a file in fp32, once it is known that they fit and are finite."""
    _check_file(file, model)
    with safe_open(file, "pt") as stored:
        names = _stored_as(stored_names(stored), type(model).__name__)
        return {new: finite(restored(stored, old), old, file) for new, old in names.items()}


@contextmanager
def _as_bad_weights(where: Path) -> Iterator[None]:
    try:
        yield
    except BadWeights:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).splitlines()[:3])
        raise BadWeights(
            f"{where} cannot be read ({type(error).__name__}: {reason}).\n"
            f"It is damaged or belongs to another configuration. {AGAIN}"
        ) from error


def _some(names: Iterable[str], shown: int = 3) -> str:
    names = list(names)
    if not names:
        return "nothing"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
