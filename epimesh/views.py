"""Views of one object: images with their cameras, and the latents they are decoded from.

A dataset render, a set of generated views and a set of real posed photos are all the same thing: `Views`.
Images are float32 sRGB in [0, 1], channel first, composed on white. Those of very large captures are in half
precision: whatever calculates with them makes them float first, image by image.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.cameras import Cameras
from epimesh.checked import checked
from epimesh.photo import Photo

_SHEET_PIXELS = 16e6  # of a contact sheet; larger ones are reduced


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Views(Artifact):
    """V images of one object.

    Args:
        rgb: colours on white.
        alpha: coverage of the object, 0 to 1.
        normals: unit surface normals in the world, zero off the object; None where not known.
        depth: camera z in scene units, infinite off the object; None where not known.
        cameras: where the images were taken from.
    """

    rgb: Float[Tensor, "V 3 H W"]
    alpha: Float[Tensor, "V 1 H W"]
    cameras: Cameras
    normals: Float[Tensor, "V 3 H W"] | None = None
    depth: Float[Tensor, "V H W"] | None = None

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, views: int | slice | list[int]) -> "Views":
        """The chosen views, always as Views."""
        chosen = [views] if isinstance(views, int) else views
        return Views(
            rgb=self.rgb[chosen],
            alpha=self.alpha[chosen],
            cameras=self.cameras[chosen],
            normals=None if self.normals is None else self.normals[chosen],
            depth=None if self.depth is None else self.depth[chosen],
        )

    def straight_rgb(self) -> Float[Tensor, "V 3 H W"]:
        """The colours of the object itself, without the white behind it; where it covers nothing they mean nothing."""
        return ((self.rgb - 1 + self.alpha) / self.alpha.clamp_min(1e-4)).clamp(0, 1)

    def preview(self) -> Image.Image:
        """A contact sheet, four images in a row."""
        return contact_sheet(self.rgb)

    @classmethod
    def _part(cls, name: str) -> type[Artifact]:
        return {"cameras": Cameras}.get(name) or super()._part(name)


@checked
@dataclass(frozen=True, eq=False, repr=False)
class LatentViews(Artifact):
    """V images of one object, still as latents of a VAE.

    Args:
        latents: scaled to about unit variance, as the denoiser emits them.
        cameras: where the views are taken from; image size as they will be decoded.
        photo: the photo they were imagined from.
        latent_space: the VAE family that decodes them; a decoder of another family refuses them.
        normals: latents of pictures of normals in the frame of the photo's camera, for generators that make them;
            `decoders.normals` says how they are read.
    """

    latents: Float[Tensor, "V C h w"]
    cameras: Cameras
    photo: Photo
    latent_space: str
    normals: Float[Tensor, "V C h w"] | None = None

    def __len__(self) -> int:
        return len(self.latents)

    @classmethod
    def _part(cls, name: str) -> type[Artifact]:
        return {"cameras": Cameras, "photo": Photo}.get(name) or super()._part(name)


def to_picture(rgb: Float[Tensor, "channels H W"]) -> Image.Image:
    """An 8-bit PIL picture of an image in [0, 1] (1, 3 or 4 channels)."""
    array = (rgb.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def contact_sheet(images: Float[Tensor, "V channels H W"], columns: int = 4) -> Image.Image:
    """All images on one sheet, row by row."""
    shrink = math.ceil(math.sqrt(images.shape[0] * images.shape[2] * images.shape[3] / _SHEET_PIXELS))
    if shrink > 1:  # a hundred photos in full size would take gigabytes, and nobody looks at them so
        images = torch.cat([torch.nn.functional.avg_pool2d(image[None].float(), shrink) for image in images])
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images.detach().cpu(), torch.ones(rows * columns - count, channels, height, width)])
    sheet = padded.reshape(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return to_picture(sheet.reshape(channels, rows * height, columns * width))
