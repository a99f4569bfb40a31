"""Views of an object whose cameras are known: read from a folder, and written to one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.posed.depth_files import (
    DEPTH_STEP,
    NERFSTUDIO_STEP,
    read_depth,
    read_normals,
    write_depth,
    write_normals,
)
from epimesh.data.posed.plain_background import plain_background_alpha
from epimesh.data.posed.transforms_json import FILE, Frame, camera_entries, read_frames
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file
from epimesh.files.images import Picture, read_picture
from epimesh.views import Views, to_picture

LONGEST_SIDE = 1024  # pixels; larger images are reduced, and their cameras with them
_MEANINGFUL = 0.01  # share of an image that has to be transparent for its alpha channel to count


class _View(NamedTuple):
    """One frame as it was read, on white; its camera is a single one."""

    name: str
    rgb: Float[Tensor, "3 H W"]
    alpha: Float[Tensor, "1 H W"]
    camera: Cameras
    depth: Float[Tensor, "H W"] | None
    normals: Float[Tensor, "3 H W"] | None


def read_posed_views(folder: Path, *, longest_side: int = LONGEST_SIDE, geometry: bool = False) -> Views:
    """The views in a folder, in the folder's own coordinates (see `epimesh.data.posed.source_frame` to fit them).

    The folder is one written by `Views.save`, or holds a `transforms.json` with its images. What is object is taken
    from `mask_path`, else from the transparency of the images, else from a background of one colour.

    Args:
        folder: where they are.
        longest_side: pixels; larger images are reduced, and their cameras with them.
        geometry: read depth and normals too where transforms.json names them (`depth_file_path`, `normal_file_path`).
            By default they are left alone, since those of real captures often have other sizes than the images.

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
    return _joined([_read(frame, longest_side, geometry) for frame in read_frames(folder)])


def _joined(read: Sequence[_View]) -> Views:
    sizes = {(view.camera.width, view.camera.height): view.name for view in read}
    if len(sizes) > 1:
        found = ", ".join(f"{name} {width} x {height}" for (width, height), name in sizes.items())
        raise BadInput(
            f"The images differ in size ({found}).\nAll views need one size: scale or crop them the same way."
        )
    empty = [view.name for view in read if not (view.alpha > 0.5).any()]
    if empty:
        raise BadInput(
            f"No object is visible in {len(empty)} of {len(read)} views: {', '.join(empty[:5])}.\n"
            "Remove these frames from transforms.json, or correct their masks."
        )
    return Views(
        rgb=torch.stack([view.rgb for view in read]),
        alpha=torch.stack([view.alpha for view in read]),
        cameras=Cameras.joined([view.camera for view in read]),
        depth=_all_or_none([view.depth for view in read], "depth_file_path"),
        normals=_all_or_none([view.normals for view in read], "normal_file_path"),
    )


def _all_or_none(maps: Sequence[Tensor | None], key: str) -> Tensor | None:
    known = [each for each in maps if each is not None]
    if known and len(known) < len(maps):
        raise BadInput(
            f"{len(known)} of {len(maps)} frames have a {key}, expected all or none.\n"
            f"Add the missing ones to {FILE}, or remove the others."
        )
    return torch.stack(known) if known else None


def _read(frame: Frame, longest_side: int, geometry: bool) -> _View:
    picture = read_picture(frame.image, longest_side=longest_side)
    full = (picture.full_width, picture.full_height)
    stated = frame.size() or full
    if stated != full:
        raise BadInput(
            f"{frame.image} has {full[0]} x {full[1]} pixels, but {FILE} says {stated[0]} x {stated[1]}.\n"
            "The cameras belong to images of another size or rotation: use those, or correct w, h and focal lengths."
        )
    height, width = picture.rgb.shape[1:]
    depth = normals = None
    if geometry and frame.depth is not None:
        step = frame.numbers.get("depth_unit_scale_factor", NERFSTUDIO_STEP)
        depth = read_depth(frame.depth, step, full, (width, height))
    if geometry and frame.normals is not None:
        normals = read_normals(frame.normals, full, (width, height))
    camera = frame.camera(*full).resized(height, width)
    alpha = _alpha(frame, picture, longest_side)[None]
    on_white = picture.rgb * alpha + 1 - alpha  # one by one: of all views at once it would take thrice their memory
    return _View(frame.image.name, on_white, alpha, camera, depth, normals)


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

    Depth and normals, where the views have them, become further PNG images: see `epimesh.data.posed.depth_files`.
    """
    names = [f"{index:03d}" for index in range(len(views))]
    content = camera_entries(views.cameras, [f"{name}.png" for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    for name, rgba in zip(names, torch.cat([views.straight_rgb(), views.alpha], dim=1), strict=True):
        to_picture(rgba).save(folder / f"{name}.png")
    if views.depth is not None:
        content["depth_unit_scale_factor"] = DEPTH_STEP
        for name, depth, entry in zip(names, views.depth, content["frames"], strict=True):
            entry["depth_file_path"] = f"{name}_depth.png"
            write_depth(depth, folder / entry["depth_file_path"])
    if views.normals is not None:
        for name, normals, entry in zip(names, views.normals, content["frames"], strict=True):
            entry["normal_file_path"] = f"{name}_normal.png"
            write_normals(normals, folder / entry["normal_file_path"])
    with atomic_file(folder / FILE) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1))
    return folder / FILE
