"""Views of an object whose cameras are known, read from a folder. `epimesh.files.posed_set` writes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.coverage import Settled, separate_pieces, settled
from epimesh.data.posed.depth_files import NERFSTUDIO_STEP, read_depth, read_normals
from epimesh.data.posed.lens import as_pinhole
from epimesh.data.posed.object_masks import are_inverted, read_mask
from epimesh.data.posed.transforms_json import Frame, cameras_file, read_frames
from epimesh.data.posed.upright import up_of, upright_axes
from epimesh.errors import BadInput
from epimesh.files.images import Picture, read_picture
from epimesh.files.posed_set import FILE
from epimesh.plain_background import cut_from_plain_background
from epimesh.runtime import Reporter, Silent
from epimesh.views import Views

LONGEST_SIDE = 1024  # pixels; larger images are reduced, and their cameras with them
_MEANINGFUL = 0.01  # share of an image that has to be transparent for its alpha channel to count
_MANY_PIXELS = 30e6  # of all images; more are kept in half precision, which is a sixteenth of a step of 8 bits
_FAR = 100.0  # times how far the cameras stand apart: from there on single precision blurs coordinates

Segment = Callable[[Float[Tensor, "3 H W"]], Float[Tensor, "H W"]]


@dataclass(frozen=True, eq=False)
class Capture:
    """Posed views as they were found.

    Args:
        views: their cameras are around `origin`, in the axes and units of the source.
        origin: in the source's coordinates; zero unless those are as large as a map's.
        up: what the cameras held upright, or None if they do not tell.
        segmented: names of the images whose object a network had to find.
        names: of all images.
    """

    views: Views
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up: Float[Tensor, "3"] | None = None
    segmented: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _View(NamedTuple):
    """One frame as it was read, on white; its camera is a single one."""

    name: str
    rgb: Float[Tensor, "3 H W"]
    alpha: Float[Tensor, "1 H W"]
    camera: Cameras
    depth: Float[Tensor, "H W"] | None
    normals: Float[Tensor, "3 H W"] | None
    full: tuple[int, int]
    orientation: int
    segmented: bool
    remarks: list[str]


@dataclass(frozen=True)
class _Reading:
    """How frames are read."""

    longest_side: int
    depth: bool
    normals: bool
    inverted: bool
    origin: Float[Tensor, "3"]
    segment: Segment | None


def read_posed_views(folder: Path, *, longest_side: int = LONGEST_SIDE, geometry: bool = False) -> Views:
    """The views in a folder, in the folder's own coordinates (see `epimesh.data.posed.source_frame` to fit them).

    The folder is one written by `Views.save`, or holds a `transforms.json` with its images. What is object is taken
    from `mask_path`, else from the transparency of the images, else from a background of one colour.

    Args:
        folder: where they are, or the file of cameras.
        longest_side: pixels; larger images are reduced, and their cameras with them.
        geometry: read depth and normals too where transforms.json names them (`depth_file_path`, `normal_file_path`).
            By default they are left alone, since those of real captures often have other sizes than the images.

    Raises:
        BadInput: the folder holds neither, or something in it cannot be used; the message says what and why.
    """
    return read_capture(folder, longest_side=longest_side, geometry=geometry).views


def read_capture(
    folder: Path,
    *,
    longest_side: int = LONGEST_SIDE,
    geometry: bool = False,
    compact: bool = False,
    normals: bool = False,
    segment: Segment | None = None,
    reporter: Reporter | None = None,
) -> Capture:
    """The views in a folder with all that the folder tells about them. See `read_posed_views`.

    Args:
        folder: where they are, or the file of cameras.
        longest_side: in pixels.
        geometry: read depth and normals, too.
        compact: keep images of more than 30 megapixels in all in half precision.
        normals: read normals, too, but no depth.
        segment: finds the object in pictures of which nothing else tells it; without, such pictures are refused.
        reporter: hears what was left out, turned round or guessed.

    Raises:
        BadInput: see `read_posed_views`.
    """
    reporter = reporter or Silent()
    if not folder.exists():
        raise BadInput(f"There is no folder {folder}.\nExpected one with {FILE} and its images, or saved views.")
    if (folder / "tensors.safetensors").is_file():
        return Capture(Views.load(folder))
    frames = read_frames(cameras_file(folder), reporter)
    origin = _origin(frames)
    inverted = are_inverted([frame.mask for frame in frames if frame.mask is not None])
    if inverted:
        reporter.warn("The masks are black on the object and white beside it; they were turned round.")
    how = _Reading(longest_side, geometry, geometry or normals, inverted, origin, segment)
    room = _Room(len(frames), compact)
    read = [room.placed(_read(frame, how)) for frame in frames]
    axes = [upright_axes(frame.camera_to_world, view.orientation) for frame, view in zip(frames, read, strict=True)]
    _check_sizes(frames, read)
    _remark(read, reporter)
    x, y, z = origin.tolist()
    names, segmented = tuple(view.name for view in read), tuple(view.name for view in read if view.segmented)
    return Capture(
        _joined(read, room, reporter), (x, y, z), up_of(*map(torch.stack, zip(*axes, strict=True))), segmented, names
    )


def _origin(frames: Sequence[Frame]) -> Float[Tensor, "3"]:
    """Zero, or the middle of cameras that stand so far from zero that single precision would blur them."""
    centres = torch.stack([frame.camera_to_world[:3, 3] for frame in frames])
    middle = centres.mean(dim=0)
    spread = float((centres - middle).norm(dim=-1).max())
    return middle if float(middle.norm()) > _FAR * max(spread, 1e-9) else torch.zeros(3, dtype=torch.float64)


def _check_sizes(frames: Sequence[Frame], read: Sequence[_View]) -> None:
    """Focal lengths in pixels hold for one size of image. Where none is stated, images may only lie or stand."""
    unstated = {view.full: view.name for frame, view in zip(frames, read, strict=True) if frame.in_unstated_pixels()}
    if len({tuple(sorted(size)) for size in unstated}) > 1:
        found = ", ".join(f"{name} {width} x {height}" for (width, height), name in list(unstated.items())[:4])
        raise BadInput(
            f"The images differ in size ({found}), and nothing says for which size the focal lengths hold.\n"
            "State w and h for every frame, or scale all images the same way."
        )


def _remark(read: Sequence[_View], reporter: Reporter) -> None:
    """Says once what was decided in how many frames."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for view in read:
        for remark in view.remarks:
            first.setdefault(remark, view.name)
            counts[remark] = counts.get(remark, 0) + 1
    for remark, count in counts.items():
        reporter.warn(f"In {count} of {len(read)} images {remark}; the first is {first[remark]}.")


class _Room:
    """Where all images lie in one piece, so that they are in memory only once; those of other sizes lie beside.

    A hundred photos of 800 x 800 pixels are a gigabyte in single precision. If `compact`, so many are kept in half.
    """

    def __init__(self, count: int, compact: bool) -> None:
        self._count, self._used, self._compact = count, 0, compact
        self.rgb, self.alpha = torch.empty(0), torch.empty(0)
        self.dtype = torch.float32

    def placed(self, view: _View) -> _View:
        """The view, with its pixels in the common piece if it has the size of the first."""
        if self._used == 0:
            many = self._count * view.alpha.numel() > _MANY_PIXELS
            self.dtype = torch.half if self._compact and many else torch.float32
            self.rgb, self.alpha = (
                torch.empty(self._count, *part.shape, dtype=self.dtype) for part in (view.rgb, view.alpha)
            )
        index, self._used = self._used, self._used + 1
        if view.rgb.shape != self.rgb.shape[1:]:
            return view._replace(rgb=view.rgb.to(self.dtype), alpha=view.alpha.to(self.dtype))
        self.rgb[index], self.alpha[index] = view.rgb, view.alpha
        return view._replace(rgb=self.rgb[index], alpha=self.alpha[index])


def _joined(read: list[_View], room: _Room, reporter: Reporter) -> Views:
    """All views at one size: as they lie, or laid into one corner of the largest."""
    empty = [view.name for view in read if not (view.alpha > 0.5).any()]
    stated = [view.name for view in read if view.name in empty and not view.segmented]
    if stated or len(empty) == len(read):  # where only a network saw nothing, the view is left out later
        raise BadInput(
            f"No object is visible in {len(empty)} of {len(read)} views: {', '.join(empty[:5])}.\n"
            "Remove these frames from transforms.json, or correct their masks."
        )
    sizes = {(view.camera.height, view.camera.width) for view in read}
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    if len(sizes) > 1:
        _check_padding(read, reporter)
    depth = _all_or_none([view.depth for view in read], "depth_file_path")
    normals = _all_or_none([view.normals for view in read], "normal_file_path")
    cameras = [
        Cameras(v.camera.world_to_camera, v.camera.intrinsics, height, width, v.camera.orthographic) for v in read
    ]
    if len(sizes) == 1:
        rgb, alpha = room.rgb, room.alpha
        return Views(rgb=rgb, alpha=alpha, cameras=Cameras.joined(cameras), normals=normals, depth=depth)
    rgb, alpha = (torch.empty(len(read), channels, height, width, dtype=room.dtype) for channels in (3, 1))
    for index, view in enumerate(read):
        beside = (0, width - view.rgb.shape[2], 0, height - view.rgb.shape[1])
        # An object that is cut off goes on beside its picture, so that it is not taken to end there.
        rgb[index] = torch.nn.functional.pad(view.rgb[None].float(), beside, mode="replicate")[0]
        alpha[index] = torch.nn.functional.pad(view.alpha[None].float(), beside, mode="replicate")[0]
    return Views(rgb=rgb, alpha=alpha, cameras=Cameras.joined(cameras), normals=normals, depth=depth)


def _check_padding(read: Sequence[_View], reporter: Reporter) -> None:
    """Pictures of several sizes are laid into one corner of the largest; maps beside them would need the same."""
    if any(view.depth is not None or view.normals is not None for view in read):
        found = ", ".join(f"{view.name} {view.camera.width} x {view.camera.height}" for view in (read[0], read[-1]))
        raise BadInput(
            f"The images differ in size ({found}) and have depth or normals.\nScale or crop all of them the same way."
        )
    cut = [view.name for view in read if bool((view.alpha[0, -1] > 0.5).any() or (view.alpha[0, :, -1] > 0.5).any())]
    if cut:
        reporter.warn(f"In {len(cut)} images of other sizes the object is cut off, e.g. in {cut[0]}.")


def _all_or_none(maps: Sequence[Tensor | None], key: str) -> Tensor | None:
    known = [each for each in maps if each is not None]
    if known and len(known) < len(maps):
        raise BadInput(
            f"{len(known)} of {len(maps)} frames have a {key}, expected all or none.\n"
            f"Add the missing ones to {FILE}, or remove the others."
        )
    return torch.stack(known) if known else None


def _read(frame: Frame, how: _Reading) -> _View:
    picture = _picture(frame, how.longest_side)
    full = (picture.full_width, picture.full_height)
    height, width = picture.rgb.shape[1:]
    depth = normals = None
    if how.depth and frame.depth is not None:
        step = frame.numbers.get("depth_unit_scale_factor", NERFSTUDIO_STEP)
        depth = read_depth(frame.depth, step, full, (width, height))
    camera = frame.camera(*(frame.size() or full), how.origin).resized(height, width)
    if how.normals and frame.normals is not None:
        normals = read_normals(frame.normals, full, camera)
    rgb, decided, segmented = _object_of(frame, picture, how)
    alpha = decided.alpha[None]
    on_white = rgb * alpha + 1 - alpha  # one by one: of all views at once it would take thrice their memory
    if frame.lens is not None:
        if depth is not None or normals is not None:
            raise BadInput(f"{frame.image} has a distorting lens and depth or normals.\nUndistort them together first.")
        straight, camera = as_pinhole(torch.cat([on_white, alpha]), camera, frame.lens, frame.image.name)
        on_white, alpha = straight[:3], straight[3:]
    remarks = _remarks(decided, alpha[0])
    return _View(
        frame.image.name, on_white, alpha, camera, depth, normals, full, picture.orientation, segmented, remarks
    )


def _picture(frame: Frame, longest_side: int) -> Picture:
    """The image with its pixels as they are stored, as poses mean them; upright if only so it has the stated shape."""
    picture = read_picture(frame.image, longest_side=longest_side, upright=False)
    stated = frame.size()
    if stated is None or _same_shape(stated, picture):
        return picture
    if picture.orientation >= 5:
        turned = read_picture(frame.image, longest_side=longest_side)
        if _same_shape(stated, turned):
            return turned
    raise BadInput(
        f"{frame.image} has {picture.full_width} x {picture.full_height} pixels, but {FILE} says {stated[0]} x "
        f"{stated[1]}.\nThe cameras belong to images of another shape or rotation: use those, or correct w, h and "
        "focal lengths."
    )


def _same_shape(stated: tuple[int, int], picture: Picture) -> bool:
    """Whether the picture is what was stated, or the same at another scale."""
    width, height = picture.full_width, picture.full_height
    return abs(stated[0] * height - stated[1] * width) <= max(*stated, width, height) / 2


def _object_of(frame: Frame, picture: Picture, how: _Reading) -> tuple[Float[Tensor, "3 H W"], Settled, bool]:
    """Straight colours, coverage by the object, and whether a network had to say which that is."""
    rgb = picture.rgb
    height, width = rgb.shape[1:]
    if frame.mask is not None:
        full = (picture.full_height, picture.full_width)
        mask = read_mask(frame.mask, frame.image, (height, width), full)
        return rgb, Settled(1 - mask if how.inverted else mask, 0, 0, 0), False
    if picture.alpha is not None and float((picture.alpha < 0.5).float().mean()) >= _MEANINGFUL:
        return rgb, settled(rgb, picture.alpha), False
    cut = cut_from_plain_background(rgb)
    if cut is not None:
        return cut[:3], Settled(cut[3], 0, 0, 0), False
    if how.segment is not None:
        return rgb, Settled(how.segment(rgb), 0, 0, 0), True
    raise BadInput(
        f"{frame.image} shows an object before a background of many colours, and nothing says which is which.\n"
        "Expected images with a transparent or plain background, or mask_path (white object on black) for every "
        "frame: cut them out first, e.g. with rembg."
    )


def _remarks(decided: Settled, alpha: Float[Tensor, "H W"]) -> list[str]:
    kinds = [
        (decided.windows > 1e-3, "half-transparent parts that the object surrounds count as object"),
        (decided.shadow > 1e-3, "a soft dark shadow was taken for background"),
        (decided.glass > 1e-3, "half-transparent parts were taken for background"),
        (separate_pieces(alpha) > 1, "the object is in separate pieces"),
    ]
    return [sentence for found, sentence in kinds if found]
