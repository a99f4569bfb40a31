"""Finds the main object of a photo with a saliency network of the U^2-Net family, a small one of which ships."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh import weights
from epimesh.errors import BadWeights, MissingExtra, WeightsNotFound

MODEL_VARIABLE = "EPIMESH_U2NET"

SIDE = 320  # pixels along each side of what the network sees
_SMALLEST, _LARGEST = 1_000_000, 2_000_000_000  # bytes
_NAMES = ("u2net.onnx", "u2netp.onnx", "silueta.onnx")  # the same network in three sizes, best first
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

HOW_TO_RUN_ONE = "pip install --force-reinstall onnxruntime"


def find_model() -> Path | None:
    """The network to use, or None where onnxruntime, which runs them, cannot be imported. Nothing is ever downloaded.

    The first of these: the file named by the environment variable EPIMESH_U2NET; what the program rembg has downloaded
    (U2NET_HOME or ~/.u2net), larger networks first; the small one that ships with this package.

    Raises:
        WeightsNotFound: EPIMESH_U2NET names a file that does not exist.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return None
    if named := os.environ.get(MODEL_VARIABLE):
        return existing(Path(named).expanduser())
    home = Path(os.environ.get("U2NET_HOME", "~/.u2net")).expanduser()
    found = [home / name for name in _NAMES if (home / name).is_file()]
    return found[0] if found else weights.resolve("bundled:u2netp") / "u2netp.onnx"


def existing(model: Path) -> Path:
    """The model file itself, if it is there.

    Raises:
        WeightsNotFound: it is not.
    """
    if not model.is_file():
        raise WeightsNotFound(
            f"There is no segmentation model at {model}.\nExpected an ONNX file of the U^2-Net family, e.g. one that "
            "rembg has downloaded into ~/.u2net; with neither --read.rembg_model nor the environment variable "
            f"{MODEL_VARIABLE} the one that ships is used."
        )
    return model


def salient_mask(rgb: Float[Tensor, "3 H W"], model: Path) -> Float[Tensor, "H W"]:
    """How much each pixel belongs to the main object, 0 to 1. The network sees 320 x 320 pixels, so edges are soft.

    Raises:
        MissingExtra: onnxruntime cannot be imported.
        BadWeights: the file is not such a network.

    Source:
        Qin et al., "U^2-Net: Going Deeper with Nested U-Structure for Salient Object Detection" (arXiv:2005.09007).
    """
    small = torch.nn.functional.interpolate(rgb[None], (320, 320), mode="bilinear", antialias=True)[0]
    small = small / small.max().clamp_min(1e-6)
    answer = _run(model, ((small - _MEAN) / _DEVIATION)[None].numpy())
    mask = (answer - answer.min()) / (answer.max() - answer.min()).clamp_min(1e-6)
    return torch.nn.functional.interpolate(mask[None, None], rgb.shape[1:], mode="bicubic")[0, 0].clamp(0, 1)


def _run(model: Path, given: np.ndarray) -> Float[Tensor, "320 320"]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            f"The segmentation model {model} needs onnxruntime, which cannot be imported ({error}).\n"
            f"Install it again: {HOW_TO_RUN_ONE}"
        ) from error
    try:
        existing(model)
        _check_size(model)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        answer = session.run(None, {session.get_inputs()[0].name: given})[0]
        if not isinstance(answer, np.ndarray) or answer.dtype != np.float32 or answer.shape[-2:] != given.shape[-2:]:
            raise TypeError(f"its first answer is {getattr(answer, 'shape', type(answer).__name__)}")
        answer = answer.reshape(-1, *given.shape[-2:])[0]
        if not np.isfinite(answer).all():
            raise ValueError("it answers with numbers that are not finite")
    except (WeightsNotFound, BadWeights):
        raise
    except Exception as error:  # onnxruntime raises classes of its own for every kind of damage
        raise BadWeights(
            f"{model} cannot be run as a segmentation model ({type(error).__name__}: {str(error)[:200]}).\n"
            f"Expected an ONNX file of the U^2-Net family with a 3 x 320 x 320 input: {', '.join(_NAMES)}."
        ) from error
    return torch.from_numpy(answer)


def _check_size(model: Path) -> None:
    """Weights of this family lie in the file; one with next to none of them only computes, perhaps gigabytes."""
    size = model.stat().st_size
    if not _SMALLEST <= size <= _LARGEST:
        raise BadWeights(
            f"{model} has {size} bytes, expected {_SMALLEST} to {_LARGEST}: an ONNX file of the U^2-Net family.\n"
            f"Download it again: {', '.join(_NAMES)}."
        )
