"""The first stage: finds the object in a photo, cuts it out and centres it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import FOV_DEG
from epimesh.coverage import settled
from epimesh.errors import BadInput, MissingExtra
from epimesh.files.images import MAX_MEGAPIXELS, Picture, read_picture
from epimesh.photo import Photo
from epimesh.pipeline.contracts import PhotoReader
from epimesh.plain_background import cut_from_plain_background
from epimesh.runtime import Runtime
from epimesh.stages.elevation.estimate import estimated_elevation
from epimesh.stages.read.framing import Frame
from epimesh.stages.read.grabcut import WORKING_SIDE, object_on_plain_background
from epimesh.stages.read.mask_quality import looks_inverted, without_specks
from epimesh.stages.read.matting import filled_outside, foreground_colours, refined_edges
from epimesh.stages.read.saliency import HOW_TO_RUN_ONE, SIDE, existing, find_model, salient_mask

_SMALLEST_WORKING_SIDE = 1024  # pixels; photos are reduced to this or to three times `size` while they are read
_UNSURE_DEG = 15.0  # expected error of an estimated elevation that is worth a warning
_MEANINGFUL = 0.01  # share of a picture that has to be transparent for its alpha channel to count


@dataclass(frozen=True, kw_only=True)
class CutOut(PhotoReader):
    """Cuts the object out of its photo and centres it.

    What is object is taken from the first of these that is there: the file `mask`; a transparency channel that leaves
    something out; a background of one colour, where a segmentation network agrees about the object; that network; the
    colours of the border.

    Args:
        size: side of the square result, in pixels.
        elevation_deg: height of the camera above the object's horizon, in degrees: 0 from the side, 90 from above;
            "auto" lets a network estimate it.
        elevation_weights: of that network.
        fov_deg: field of view that the result stands for, in degrees.
        fill: share of the frame that the longer side of the object takes.
        mask: picture of the photo's shape, white where the object is and black elsewhere.
        method: "auto" as above; "alpha", "rembg" (the network) or "grabcut" (border colours) insist on one way.
        rembg_model: ONNX file of the U^2-Net family; null takes what rembg has downloaded, or else the small one that
            ships.
        max_megapixels: larger photos are refused before they are decoded.
        pieces: what is kept of an object in separate pieces, which is told: "all" of them, or the "largest".
    """

    size: int = 512
    elevation_deg: float | Literal["auto"] = "auto"
    elevation_weights: str = "bundled:elevation"
    fov_deg: float = FOV_DEG
    fill: float = 0.78
    mask: Path | None = None
    method: Literal["auto", "alpha", "rembg", "grabcut"] = "auto"
    rembg_model: Path | None = None
    max_megapixels: float = MAX_MEGAPIXELS
    pieces: Literal["all", "largest"] = "all"
    version = 2

    weights_settings: ClassVar[tuple[str, ...]] = ("rembg_model", "elevation_weights")

    def __post_init__(self) -> None:
        self._check_settings()
        if self.mask is None and self.method in ("auto", "rembg"):
            # As a setting it counts in the fingerprint: a network that arrives later renews saved cut-outs.
            model = find_model() if self.rembg_model is None else existing(self.rembg_model)
            object.__setattr__(self, "rembg_model", model)

    def _check_settings(self) -> None:
        if not 16 <= self.size <= 4096:
            raise BadInput(f"size is {self.size} pixels, expected 16 to 4096.\nUse 512 unless you know better.")
        if not 0.1 <= self.fill <= 1:
            raise BadInput(f"fill is {self.fill}, expected 0.1 to 1: the share of the frame that the object takes.")
        if self.elevation_deg != "auto" and not -90 <= self.elevation_deg <= 90:
            raise BadInput(f"elevation_deg is {self.elevation_deg}, expected -90 to 90 degrees, e.g. 20, or auto.")
        if not 1 <= self.fov_deg <= 150:
            raise BadInput(f"fov_deg is {self.fov_deg}, expected 1 to 150 degrees, e.g. {FOV_DEG}.")

    def __call__(self, image: Path, *, runtime: Runtime) -> Photo:
        """The cut-out photo. Doubts about the mask are reported as warnings.

        Raises:
            BadInput: the photo or the mask cannot be used, or there is no object.
        """
        picture = self._read(image)
        rgb, alpha, source = self._found_object(picture, image, runtime)
        alpha, report = without_specks(alpha, source, largest=self.pieces == "largest")
        for sentence in report.warnings():
            runtime.reporter.warn(f"{image.name}: {sentence}.")
        rgba = self._framed(rgb, alpha, straight=source in (_OWN_ALPHA, _PLAIN))
        return self._with_elevation(Photo(rgba, 0.0, float(self.fov_deg)), image, runtime)

    def coverage(self, image: Path, runtime: Runtime) -> Float[Tensor, "H W"]:
        """Where the object is in the photo, upright and perhaps reduced, before it is framed: 0 to 1.

        Raises:
            BadInput: the photo or the mask cannot be used, or there is no object.
        """
        _, alpha, source = self._found_object(self._read(image), image, runtime)
        return without_specks(alpha, source, largest=self.pieces == "largest")[0]

    def _with_elevation(self, photo: Photo, image: Path, runtime: Runtime) -> Photo:
        if self.elevation_deg != "auto":
            return replace(photo, elevation_deg=float(self.elevation_deg))
        found = estimated_elevation(photo, self.elevation_weights, runtime)
        runtime.reporter.note(f"The camera seems to stand {found.degrees:.0f} degrees above the object's horizon.")
        if found.spread_deg > _UNSURE_DEG:
            runtime.reporter.warn(
                f"{image.name}: the elevation of the camera is a guess ({found.degrees:.0f} degrees, give or take "
                f"{found.spread_deg:.0f}). If you know better, say so: --elevation DEGREES."
            )
        return replace(photo, elevation_deg=round(found.degrees, 1))

    def _read(self, path: Path) -> Picture:
        longest_side = max(_SMALLEST_WORKING_SIDE, 3 * self.size)
        return read_picture(path, longest_side=longest_side, max_megapixels=self.max_megapixels)

    def _found_object(self, picture: Picture, image: Path, runtime: Runtime) -> tuple[Tensor, Tensor, str]:
        """Colours, coverage by the object, and where it is known from."""
        if self.mask is not None:
            return picture.rgb, self._mask_from_file(self.mask, picture, image, runtime), f"the mask {self.mask}"
        if self.method == "alpha" or (self.method == "auto" and _is_meaningful(picture.alpha)):
            decided = settled(picture.rgb, _own_alpha(picture, image))
            for sentence in decided.sentences():
                runtime.reporter.warn(f"{image.name}: {sentence}.")
            return picture.rgb, decided.alpha, _OWN_ALPHA
        rgb = _on_white(picture)
        if self.rembg_model is not None and self.method != "grabcut":
            found = refined_edges(rgb, salient_mask(rgb, self.rembg_model), coarse_side=SIDE)
            exact = cut_from_plain_background(rgb) if self.method == "auto" else None
            if exact is not None and _is_same_object(exact[3], found):
                return exact[:3], exact[3], _PLAIN
            return rgb, found, "the answer of the segmentation network"
        if self.method == "rembg":
            raise MissingExtra(
                f"Method 'rembg' needs onnxruntime, which cannot be imported.\nInstall it again: {HOW_TO_RUN_ONE}"
            )
        others = "--read.method auto" if self.method == "grabcut" else f"the segmentation network: {HOW_TO_RUN_ONE}"
        runtime.reporter.warn(
            f"{image.name}: the background was told by its colours alone, which works where it is plain. For other "
            f"photos give --mask, or use {others}."
        )
        coarse = object_on_plain_background(rgb)
        return rgb, refined_edges(rgb, coarse, coarse_side=WORKING_SIDE), "what differs from the border"

    def _mask_from_file(self, mask: Path, picture: Picture, image: Path, runtime: Runtime) -> Float[Tensor, "H W"]:
        given = self._read(mask)
        found, expected = (given.full_width, given.full_height), (picture.full_width, picture.full_height)
        if abs(found[0] * expected[1] - found[1] * expected[0]) > max(*found, *expected):
            raise BadInput(
                f"The mask {mask} has {found[0]} x {found[1]} pixels, but the photo {image} has "
                f"{expected[0]} x {expected[1]} (upright).\nThey have to lie on top of each other: save the mask anew."
            )
        values = given.alpha if given.alpha is not None and _is_meaningful(given.alpha) else given.rgb.amax(dim=0)
        values = values / values.max().clamp_min(1e-6)  # some write 0 and 1 of 255, or a dark red
        if looks_inverted(values > 0.5):
            runtime.reporter.warn(
                f"The mask {mask.name} covers the borders of the photo but not its middle: it is inverted (black is "
                "background, white is object) and was turned round."
            )
            values = 1 - values
        if values.shape == picture.rgb.shape[1:]:
            return values
        return torch.nn.functional.interpolate(values[None, None], picture.rgb.shape[1:], mode="bilinear")[0, 0]

    def _framed(self, rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"], *, straight: bool) -> Tensor:
        """The object's own colours and coverage in a centred square. `straight` colours are free of background."""
        frame = Frame.around(alpha, self.fill)
        coverage = frame.cut(alpha[None], self.size, beyond="zero")
        if straight:
            premultiplied = frame.cut(rgb * alpha, self.size, beyond="zero")
            colours = filled_outside((premultiplied / coverage.clamp_min(1e-4)).clamp(0, 1), coverage[0])
        else:
            colours = foreground_colours(frame.cut(rgb, self.size, beyond="edge"), coverage[0])
        return torch.cat([colours, coverage])


_OWN_ALPHA = "its transparency channel"
_PLAIN = "what differs from the one colour of the background"
_SAME_OBJECT = 0.85  # intersection over union; a shadow on white paper belongs to one of two masks only
_LOST = 0.03  # of what the network finds; more, and a part has the colour of the background


def _is_same_object(exact: Float[Tensor, "H W"], found: Float[Tensor, "H W"]) -> bool:
    a, b = exact > 0.5, found > 0.5
    lost = float((b & ~a).sum() / b.sum().clamp_min(1))
    return lost < _LOST and float((a & b).sum() / (a | b).sum().clamp_min(1)) > _SAME_OBJECT


def _is_meaningful(alpha: Float[Tensor, "H W"] | None) -> bool:
    """True if transparency leaves a part of the picture out; an opaque channel says nothing."""
    return alpha is not None and float((alpha < 0.5).float().mean()) >= _MEANINGFUL


def _own_alpha(picture: Picture, image: Path) -> Float[Tensor, "H W"]:
    if picture.alpha is None or not _is_meaningful(picture.alpha):
        found = "has no transparency channel" if picture.alpha is None else "is opaque everywhere"
        raise BadInput(
            f"{image} {found}, but method 'alpha' was asked for.\nUse --read.method auto, or save it cut out."
        )
    if float(picture.alpha.max()) < 0.5:
        raise BadInput(
            f"{image} is transparent everywhere.\nExpected an opaque object: export the picture again, or remove its "
            "transparency channel."
        )
    return picture.alpha


def _on_white(picture: Picture) -> Float[Tensor, "3 H W"]:
    return picture.rgb if picture.alpha is None else picture.rgb * picture.alpha + 1 - picture.alpha
