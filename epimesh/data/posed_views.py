"""Views of an object whose cameras are known: read from a folder, and written to one."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.plain_background import plain_background_alpha
from epimesh.data.transforms_json import FILE, Frame, camera_entries, read_frames
from epimesh.errors import BadInput
from epimesh.image_file import Picture, read_picture
from epimesh.views import Views, to_picture

LONGEST_SIDE = 1024  # pixels; larger images are reduced, and their cameras with them
_MEANINGFUL = 0.01  # share of an image that has to be transparent for its alpha channel to count


def read_posed_views(folder: Path, *, longest_side: int = LONGEST_SIDE) -> Views:
    """The views in a folder, in the folder's own coordinates (see `epimesh.data.source_frame` to fit them).

    The folder is one written by `Views.save`, or holds a `transforms.json` with its images. What is object is taken
    from `mask_path`, else from the transparency of the images, else from a background of one colour.

    Raises:
        BadInput: the folder holds neither, or something in it cannot be used; the message says what and why.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.\nExpected one with {FILE} and its images, or saved views.")
    if (folder / "tensors.safetensors").is_file():
        return Views.load(folder)
    if not (folder / FILE).is_file():
        raise BadInput(
            f"{folder} holds no {FILE}.\n"
            "Expected the cameras of the images there, e.g. written by nerfstudio's ns-process-data or by Blender."
        )
    return _joined([_read(frame, longest_side) for frame in read_frames(folder)])


def _joined(parts: Iterable[tuple[Frame, Tensor, Tensor, Cameras]]) -> Views:
    read = list(parts)
    sizes = {(camera.width, camera.height): frame.image for frame, _, _, camera in read}
    if len(sizes) > 1:
        found = ", ".join(f"{path.name} {width} x {height}" for (width, height), path in sizes.items())
        raise BadInput(
            f"The images differ in size ({found}).\nAll views need one size: scale or crop them the same way."
        )
    empty = [frame.image.name for frame, _, alpha, _ in read if not (alpha > 0.5).any()]
    if empty:
        raise BadInput(
            f"No object is visible in {len(empty)} of {len(read)} views: {', '.join(empty[:5])}.\n"
            "Remove these frames from transforms.json, or correct their masks."
        )
    rgb, alpha = torch.stack([rgb for _, rgb, _, _ in read]), torch.stack([alpha for _, _, alpha, _ in read])
    return Views(rgb=rgb * alpha + 1 - alpha, alpha=alpha, cameras=Cameras.joined([camera for _, _, _, camera in read]))


def _read(frame: Frame, longest_side: int) -> tuple[Frame, Tensor, Tensor, Cameras]:
    """The frame with its colours [3, H, W], coverage [1, H, W] and single camera."""
    picture = read_picture(frame.image, longest_side=longest_side)
    full = (picture.full_width, picture.full_height)
    stated = frame.size() or full
    if stated != full:
        raise BadInput(
            f"{frame.image} has {full[0]} x {full[1]} pixels, but {FILE} says {stated[0]} x {stated[1]}.\n"
            "The cameras belong to images of another size or rotation: use those, or correct w, h and focal lengths."
        )
    height, width = picture.rgb.shape[1:]
    camera = frame.camera(*full).resized(height, width)
    return frame, picture.rgb, _alpha(frame, picture, longest_side)[None], camera


def _alpha(frame: Frame, picture: Picture, longest_side: int) -> Float[Tensor, "H W"]:
    if frame.mask is not None:
        mask = read_picture(frame.mask, longest_side=longest_side)
        if mask.rgb.shape != picture.rgb.shape:
            raise BadInput(
                f"The mask {frame.mask} ({mask.full_width} x {mask.full_height}) and its image {frame.image.name} "
                f"({picture.full_width} x {picture.full_height}) differ in size.\nThey have to lie on each other."
            )
        return mask.rgb.mean(dim=0)
    if picture.alpha is not None and float((picture.alpha < 0.5).float().mean()) >= _MEANINGFUL:
        return picture.alpha
    alpha = plain_background_alpha(picture.rgb)
    if alpha is None:
        raise BadInput(
            f"{frame.image} shows an object before a background of many colours, and nothing says which is which.\n"
            "Expected images with a transparent or plain background, or mask_path (white object on black) for every "
            "frame: cut them out first, e.g. with rembg."
        )
    return alpha


def write_transforms(views: Views, folder: Path) -> Path:
    """Writes the views as PNG images with transparency and a `transforms.json`; returns its path.

    Raises:
        BadInput: orthographic cameras, which the format does not know.
    """
    names = [f"{index:03d}.png" for index in range(len(views))]
    content = camera_entries(views.cameras, names)
    folder.mkdir(parents=True, exist_ok=True)
    straight = ((views.rgb - 1 + views.alpha) / views.alpha.clamp_min(1e-4)).clamp(0, 1)
    for name, rgba in zip(names, torch.cat([straight, views.alpha], dim=1), strict=True):
        to_picture(rgba).save(folder / name)
    unfinished = folder / f".{FILE}"
    unfinished.write_text(json.dumps(content, indent=1))
    return unfinished.replace(folder / FILE)
