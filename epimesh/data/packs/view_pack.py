"""The compact form of training views: one small file per object, many views in 8 bits.

A pack holds 16 ring views (elevation 30, azimuth 22.5 i) and 4 views at random elevations on the same azimuths, all by
the standard camera of `epimesh.cameras`. Any view can be the photo: relative to it, the ring is only turned.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from epimesh.cameras import RING, Cameras
from epimesh.checked import checked
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file

EXTRA = 4
AZIMUTH_STEP_DEG = 360.0 / RING


def fold_of(family: str) -> int:
    """0 or 1 for cross-fitting, the same for all near duplicates."""
    return hashlib.sha256(family.encode()).digest()[0] % 2


@checked
@dataclass(frozen=True, eq=False)
class ViewPack:
    """All views of one object.

    Args:
        rgba: premultiplied by alpha, so black where there is nothing.
        azimuth_index: azimuth in steps of 22.5 degrees.
        elevation_deg: of every camera.
        id: name of the object.
        family: group of near duplicates, for splits.
        split: train, val or test.
        realistic: scanned or photo-textured.
        licence: of the object.
        scale: factor by which the unit object was scaled so that no view is clipped.
    """

    rgba: UInt8[Tensor, "V 4 H W"]
    azimuth_index: Int[Tensor, "V"]
    elevation_deg: Float[Tensor, "V"]
    id: str
    family: str
    split: str
    realistic: bool
    licence: str
    scale: float

    def cameras(self) -> Cameras:
        """Where the views were taken from."""
        azimuth = self.azimuth_index.float() * AZIMUTH_STEP_DEG
        return Cameras.on_sphere(azimuth, self.elevation_deg, size=self.rgba.shape[-1])

    def save(self, path: Path) -> None:
        """Writes the pack, whole or not at all."""
        words = {
            "id": self.id,
            "family": self.family,
            "split": self.split,
            "realistic": str(int(self.realistic)),
            "licence": self.licence,
            "scale": repr(self.scale),
        }
        tensors = {"rgba": self.rgba, "azimuth_index": self.azimuth_index, "elevation_deg": self.elevation_deg}
        with atomic_file(path) as unfinished:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished, metadata=words)

    @classmethod
    def load(cls, path: Path) -> "ViewPack":
        """Reads a pack.

        Raises:
            BadInput: the file is damaged or not a pack.
        """
        try:
            with safe_open(path, framework="pt") as file:
                words = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in ("rgba", "azimuth_index", "elevation_deg")}
                return cls(
                    **tensors,
                    id=words["id"],
                    family=words["family"],
                    split=words["split"],
                    realistic=words["realistic"] == "1",
                    licence=words["licence"],
                    scale=float(words["scale"]),
                )
        except (OSError, SafetensorError, KeyError) as error:
            raise BadInput(
                f"{path} is not a pack of views ({error}).\nMake packs with: epimesh render OBJECTS OUT"
            ) from error
