"""Colours as files have them: 8-bit sRGB pictures, linear vertex colours, and a texture's colours at the vertices."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from epimesh.files.meshes.settings import TextureFormat
from epimesh.mesh import Mesh

GREY = 0.8  # sRGB; what `epimesh.rendering.ray_casting` gives a mesh without colours
_QUALITY = 90  # of textures with loss


def png_bytes(texture: Float[Tensor, "3 T1 T2"]) -> bytes:
    """A texture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(in_8_bits(texture.permute(1, 2, 0))).save(buffer, format="PNG")
    return buffer.getvalue()


def picture_bytes(texture: Float[Tensor, "3 T1 T2"], kind: TextureFormat) -> bytes:
    """A texture as a file: PNG without loss; JPEG and WebP at a quality whose loss is hard to see."""
    if kind == "png":
        return png_bytes(texture)
    buffer = io.BytesIO()
    picture = Image.fromarray(in_8_bits(texture.permute(1, 2, 0)))
    if kind == "jpeg":
        picture.save(buffer, format="JPEG", quality=_QUALITY, subsampling=0)
    else:
        picture.save(buffer, format="WEBP", quality=_QUALITY, method=6)
    return buffer.getvalue()


def in_8_bits(colors: Float[Tensor, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Colours from 0 to 1, rounded to 0 to 255."""
    return (colors.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def vertex_colors(mesh: Mesh) -> Float[Tensor, "N 3"] | None:
    """sRGB colours of the vertices: their own, or those of the texture where they lie on it; None without colours."""
    if mesh.texture is None or mesh.uv is None:
        return mesh.vertex_rgb
    position = mesh.uv[None, None] * 2 - 1
    found = F.grid_sample(mesh.texture[None], position, padding_mode="border", align_corners=False)
    return found[0, :, 0].T


def to_linear(srgb: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sRGB to linear light. Source: IEC 61966-2-1."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Undoes `to_linear`."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
