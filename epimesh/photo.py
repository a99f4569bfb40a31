"""The object of the input photo: cut out, centred, with what is known about the camera."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.cameras import DISTANCE, Cameras
from epimesh.checked import checked


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Photo(Artifact):
    """One object, cut out of its photo and centred. The camera stands at azimuth 0 by definition.

    Args:
        rgba: sRGB colours with straight alpha, 0 to 1.
        elevation_deg: height of the camera above the object's horizon, in degrees.
        fov_deg: full field of view of the square image, in degrees.
    """

    rgba: Float[Tensor, "4 S S"]
    elevation_deg: float
    fov_deg: float

    @property
    def size(self) -> int:
        """Side of the square image, in pixels."""
        return self.rgba.shape[-1]

    @property
    def camera(self) -> Cameras:
        """The single camera that took this photo: azimuth 0, at the standard distance."""
        elevation = torch.tensor([self.elevation_deg])
        return Cameras.on_sphere(torch.zeros(1), elevation, size=self.size, distance=DISTANCE, fov_deg=self.fov_deg)

    def on_white(self) -> Float[Tensor, "3 S S"]:
        """The object on a white background."""
        rgb, alpha = self.rgba[:3], self.rgba[3:]
        return rgb * alpha + 1 - alpha

    def on_white_with_coverage(self) -> Float[Tensor, "4 S S"]:
        """The object on a white background, and its coverage: what the small networks see."""
        return torch.cat([self.on_white(), self.rgba[3:]])

    def resized(self, size: int) -> "Photo":
        """The same photo at another resolution, filtered without dark or bright rims at the silhouette."""
        if size == self.size:
            return self
        rgb, alpha = self.rgba[:3], self.rgba[3:]
        premultiplied = torch.cat([rgb * alpha, alpha])[None]
        small = torch.nn.functional.interpolate(premultiplied, (size, size), mode="bilinear", antialias=True)[0]
        small_alpha = small[3:].clamp(0, 1)
        straight = (small[:3] / small_alpha.clamp_min(1e-4)).clamp(0, 1)
        return Photo(torch.cat([straight, small_alpha]), self.elevation_deg, self.fov_deg)

    def preview(self) -> Image.Image:
        """The cut-out with its transparency."""
        array = (self.rgba.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return Image.fromarray(array, "RGBA")
