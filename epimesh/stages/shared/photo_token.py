"""The photo as the published models were shown it: their framing, their resizing for CLIP, their token."""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from epimesh.errors import BadInput
from epimesh.photo import Photo

CLIP_SIZE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SOLID = 127  # Zero-1-to-3's demo keeps pixels of more than this 8-bit coverage


class PhotoToken(ModelMixin, ConfigMixin):
    """One token for cross-attention from CLIP's embedding of the photo and a relative pose.

    Args:
        clip_width: of the embedding, and of the token.
        pose_width: numbers of the pose.

    Source:
        Liu et al., "Zero-1-to-3" (arXiv:2303.11328), section 3.2; its code calls this `cc_projection`.
    """

    @register_to_config
    def __init__(self, clip_width: int = 768, pose_width: int = 4) -> None:
        super().__init__()
        self.projection = nn.Linear(clip_width + pose_width, clip_width)
        with torch.no_grad():  # starts as the embedding itself
            self.projection.weight.copy_(torch.eye(clip_width, clip_width + pose_width))
            self.projection.bias.zero_()

    def forward(self, embedding: Float[Tensor, "V D"], pose: Float[Tensor, "V P"]) -> Float[Tensor, "V 1 D"]:
        return self.projection(torch.cat([embedding, pose], dim=-1))[:, None]


def clip_pixels(images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 224 224"]:
    """Images in [-1, 1] as the published models hand them to CLIP.

    Bicubic with aligned corners and without antialiasing: not what CLIP's own processor does.
    """
    resized = F.interpolate(images, (CLIP_SIZE, CLIP_SIZE), mode="bicubic", align_corners=True)
    mean, std = (images.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return ((resized + 1) / 2 - mean) / std


def syncdreamer_image(picture: Image.Image, size: int, crop: int) -> Float[Tensor, "3 S S"]:
    """A cut-out on white in [-1, 1], framed as SyncDreamer's command line does; see `framed_on_white`."""
    return framed_on_white(picture, size, crop) * 2 - 1


def framed_on_white(picture: Image.Image, size: int, crop: int) -> Float[Tensor, "3 S S"]:
    """A cut-out on white in [0, 1], framed as the command lines of SyncDreamer and Wonder3D do.

    Args:
        picture: RGBA.
        size: side of the result, in pixels.
        crop: longer side of the object in the result, in pixels; -1 keeps the picture's own margins.

    Raises:
        BadInput: the picture is entirely transparent, or the crop does not fit.
    """
    if not (crop == -1 or 1 <= crop <= size):
        raise BadInput(f"crop is {crop}; expected 1 to {size} pixels, or -1 to keep the photo's margins.")
    box = picture.getchannel("A").getbbox()
    if box is None:
        raise BadInput("The cut-out is entirely transparent.\nExpected an object; check the mask.")
    if crop == -1:
        side = max(picture.size)
        framed = _pasted(picture, side).resize((size, size), Image.Resampling.BICUBIC)
    else:
        # The published code takes the last row and column of coverage as the end of the crop, and so loses them.
        cut = picture.crop((box[0], box[1], box[2] - 1, box[3] - 1))
        scale = crop / max(cut.size)
        wide, high = int(scale * cut.width), int(scale * cut.height)
        framed = _pasted(cut.resize((max(wide, 1), max(high, 1)), Image.Resampling.BICUBIC), size)
    rgba = torch.from_numpy(np.asarray(framed, dtype=np.float32) / 255).permute(2, 0, 1)
    return rgba[:3] * rgba[3:] + (1 - rgba[3:])


def zero123_image(picture: Image.Image, size: int) -> Float[Tensor, "3 S S"]:
    """A cut-out on white in [-1, 1], framed as Zero-1-to-3's demo does: the object takes 200 of 256 pixels.

    Raises:
        BadInput: no pixel is solid.
    """
    solid = picture.getchannel("A").point(lambda coverage: 255 if coverage > SOLID else 0)
    box = solid.getbbox()
    if box is None:
        raise BadInput("No pixel of the cut-out is more than half covered.\nExpected an object; check the mask.")
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(picture.convert("RGB"), mask=solid)
    cut = white.crop(box)
    longest = size * 200 // 256
    cut.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (size, size), (255, 255, 255))
    framed.paste(cut, ((size - cut.width) // 2, (size - cut.height) // 2))
    return torch.from_numpy(np.asarray(framed, dtype=np.float32) / 255).permute(2, 0, 1) * 2 - 1


def picture_of(photo: Photo) -> Image.Image:
    """The photo's cut-out as 8-bit RGBA."""
    return photo.preview()


def _pasted(picture: Image.Image, side: int) -> Image.Image:
    frame = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    frame.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return frame
