"""Reads image files that strangers made: every common format and colour model, and nothing that breaks the program.

What a file is, is decided by its content, never by its name. Sizes are checked before anything is decoded, and large
pictures are reduced while they are decoded.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from jaxtyping import Float
from PIL import Image, ImageCms, features
from torch import Tensor

from epimesh.checked import checked
from epimesh.errors import BadInput, MissingExtra

MAX_MEGAPIXELS = 50.0

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # of several pictures in a file, the first
_KNOWN = "a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF picture (HEIC with the extra epimesh[heic])"
_OTHER_KINDS = {
    b"version https://git-lfs": "pointer of Git LFS, not the file that it stands for (git lfs pull brings it)",
    b"<!DOCTYPE": "web page",
    b"<html": "web page",
    b"%PDF": "PDF document",
    b"<svg": "SVG drawing",
    b"<?xml": "XML or SVG file",
    b"PK\3\4": "ZIP archive",
    b"glTF": "GLB mesh",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
_UPRIGHT = 1  # its usual value
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MOST_SCANS = 200  # of a JPEG; cameras write one, progressive files about ten, and each takes a pass over all pixels


@checked
@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, upright, in sRGB.

    Args:
        rgb: colours, 0 to 1; straight (not multiplied by alpha).
        alpha: transparency channel of the file, 0 to 1; None where the file has none.
        full_height: rows of the file after its rotation tag, before any reduction.
        full_width: columns, likewise.
        orientation: of a picture that was read as it is stored: how it would have to be turned (EXIF, 1 to 8).
    """

    rgb: Float[Tensor, "3 H W"]
    alpha: Float[Tensor, "H W"] | None
    full_height: int
    full_width: int
    orientation: int = _UPRIGHT


def read_picture(
    path: Path, *, longest_side: int, max_megapixels: float = MAX_MEGAPIXELS, upright: bool = True
) -> Picture:
    """The picture in a file, reduced so that neither side exceeds `longest_side`.

    Args:
        path: the file.
        longest_side: in pixels.
        max_megapixels: larger pictures are refused before they are decoded.
        upright: turned as its rotation tag says; False leaves the pixels as they are stored, which is what the poses of
            COLMAP and nerfstudio are about.

    Raises:
        BadInput: missing, not a picture, damaged, or larger than `max_megapixels`; the message says which.
        MissingExtra: a HEIC file, and pillow-heif is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about odd tags and large sizes; sizes are checked here
        with _opened(path) as image:
            width, height = image.size
            _check_size(path, width * height / 1e6, max_megapixels)
            _check_scans(path, image)
            try:
                orientation = _orientation(image)
                reduced = _reduced(image, longest_side)
                turned = _turned(reduced, orientation) if upright else reduced
                colours, alpha = _in_srgb(turned)
            except Exception as error:  # damaged files make Pillow's decoders raise anything
                raise BadInput(
                    f"{path} is damaged or incomplete ({str(error)[:200] or type(error).__name__}).\n"
                    "Expected a whole picture: copy or download it again, or save it anew from an image editor."
                ) from error
    if upright and orientation >= 5:  # these swap the sides
        width, height = height, width
    straight = None if alpha is None else _tensor(alpha)
    return Picture(_tensor(colours).permute(2, 0, 1), straight, height, width, _UPRIGHT if upright else orientation)


def check_picture(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> None:
    """Refuses what is no picture or too large a one, by its first bytes; nothing is decoded.

    Raises:
        BadInput: missing, not a picture, or larger than `max_megapixels`.
        MissingExtra: a HEIC file, and pillow-heif is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(path) as image:
            _check_size(path, image.size[0] * image.size[1] / 1e6, max_megapixels)
            _check_scans(path, image)


def _orientation(image: Image.Image) -> int:
    """How the picture has to be turned; a tag that says nothing sensible says nothing."""
    found = image.getexif().get(_ORIENTATION, _UPRIGHT)
    return found if isinstance(found, int) and 1 <= found <= 8 else _UPRIGHT


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Upright. Pillow's own way writes all tags anew, which fails for those that other programs wrote wrongly."""
    return image if orientation == _UPRIGHT else image.transpose(_TURNS[orientation])


def _check_scans(path: Path, image: Image.Image) -> None:
    """Refuses JPEGs that were made to take minutes: in compressed data the mark of a scan never occurs by chance."""
    scans = path.read_bytes().count(b"\xff\xda") if image.format == "JPEG" else 0
    if scans > _MOST_SCANS:
        raise BadInput(
            f"{path} is a JPEG of {scans} scans, expected at most {_MOST_SCANS}.\n"
            "No camera writes such files: save it anew from an image editor."
        )


def _opened(path: Path) -> Image.Image:
    head = _head(path)
    formats: tuple[str, ...] = _FORMATS
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(path)
        formats = (*_FORMATS, "HEIF")
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        formats = _with_avif(path)
    try:
        return Image.open(path, formats=formats)
    except Image.DecompressionBombError as error:
        raise BadInput(f"{path} is far too large ({error}).\nReduce it to at most {MAX_MEGAPIXELS:g} MP.") from error
    except Exception as error:  # damaged files make Pillow raise more than its "cannot identify"
        kind = next((kind for start, kind in _OTHER_KINDS.items() if head.lstrip().startswith(start)), None)
        found = f"is a {kind}" if kind else "is not a picture that can be read, whatever its name says"
        raise BadInput(f"{path} {found}.\nExpected {_KNOWN}: convert it with an image editor.") from error


def _head(path: Path) -> bytes:
    """The first bytes of a file."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder.\nExpected the path of one picture: {_KNOWN}.")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror or error}).\nExpected {_KNOWN}: check the path and permissions."
        ) from error
    if not head:
        raise BadInput(f"{path} is empty (0 bytes).\nExpected {_KNOWN}: copy or download it again.")
    return head


def _with_avif(path: Path) -> tuple[str, ...]:
    if not features.check("avif"):
        raise MissingExtra(
            f"{path} is an AVIF picture, which Pillow {PIL.__version__} does not read.\n"
            "Install a newer one: pip install 'pillow>=11.3', or save the picture as JPEG."
        )
    return (*_FORMATS, "AVIF")


def _register_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise MissingExtra(
            f"{path} is a HEIC picture, and reading those needs an optional package.\n"
            "Install it with: pip install 'epimesh[heic]', or save the picture as JPEG."
        ) from error
    register_heif_opener()


def _check_size(path: Path, megapixels: float, limit: float) -> None:
    if megapixels > limit:
        raise BadInput(
            f"{path} has {megapixels:.1f} megapixels, expected at most {limit:g}.\n"
            "Reduce the picture; a few megapixels are plenty. (--read.max_megapixels raises the limit.)"
        )


def _reduced(image: Image.Image, longest_side: int) -> Image.Image:
    """The decoded picture, no larger than wanted, with its colour profile."""
    image.draft(None, (longest_side, longest_side))  # JPEG: the decoder itself halves until just above this size
    image.load()
    profile = image.info.get("icc_profile")
    reduced = _with_alpha_told_apart(image)
    if max(reduced.size) > longest_side:
        reduced.thumbnail((longest_side, longest_side), Image.Resampling.BOX, reducing_gap=2.0)
    reduced.info["icc_profile"] = profile
    return reduced


def _with_alpha_told_apart(image: Image.Image) -> Image.Image:
    """One of L, RGB, CMYK, LA, RGBA, F: what can be averaged. Palettes and transparent single colours become RGBA."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow reads 16-bit colour as 8-bit
        return Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    if image.mode in ("P", "PA", "1") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image if image.mode in ("L", "RGB", "CMYK", "LA", "RGBA") else image.convert("RGB")


def _in_srgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours [H, W, 3] and transparency [H, W], both 0 to 255."""
    alpha = np.asarray(image.getchannel("A")) if image.mode in ("LA", "RGBA") else None
    if image.mode == "F":
        return np.repeat(np.asarray(image)[..., None], 3, axis=2).clip(0, 255), None
    opaque = {"LA": "L", "RGBA": "RGB"}.get(image.mode)
    colours = image.convert(opaque) if opaque else image
    profile = image.info.get("icc_profile")
    return np.asarray(_by_profile(colours, profile) if profile else colours.convert("RGB")), alpha


def _by_profile(image: Image.Image, profile: Any) -> Image.Image:
    """Colours of the file's own colour space (Display P3, a press's CMYK) in sRGB; a broken profile is passed over."""
    try:
        converted = ImageCms.profileToProfile(
            image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32) / 255)
