"""The mean of the training objects, as images and as a shape: what one can say without looking at the photo."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from epimesh import weights
from epimesh.cameras import Cameras
from epimesh.checked import checked
from epimesh.data.objects import ObjectRecord, load_object
from epimesh.data.packs.render_objects import fitting_scale, turned
from epimesh.errors import BadInput, StageFailed
from epimesh.evaluation.baselines.implicit_shapes import grid_points, mesh_of
from epimesh.evaluation.baselines.photo_only import smoothed, within_silhouette
from epimesh.evaluation.metrics.occupancy import occupancy
from epimesh.files.atomic import atomic_file
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.rasterize import rasterize
from epimesh.rendering.ray_casting import Light
from epimesh.views import Views

BUNDLED = "bundled:mean-object"
_FILE = "mean.safetensors"
_SIZE = 64
_CELLS = 64


@checked
@dataclass(frozen=True, eq=False)
class MeanObject:
    """Means over objects that were turned at random and scaled so that the ring of cameras shows them whole.

    Args:
        ring: the 16 views, premultiplied by alpha, 8 bits.
        solid: share of the objects that fill each cell of [-1, 1]^3, in 255ths; closed objects only.
        level: the share above which a cell is filled to overlap best with the objects it was made from.
        objects: how many took part in `ring`.
        solids: how many took part in `solid`.
    """

    ring: UInt8[Tensor, "V 4 H W"]
    solid: UInt8[Tensor, "R R R"]
    level: float
    objects: int
    solids: int

    def views(self, cameras: Cameras) -> Views:
        """The mean views for the 16 cameras of the ring, at their size."""
        if len(cameras) != len(self.ring):
            raise BadInput(f"The mean object has {len(self.ring)} views, not {len(cameras)}.\nUse the ring of 16.")
        size = (cameras.height, cameras.width)
        rgba = torch.nn.functional.interpolate(self.ring.float() / 255, size, mode="bilinear", antialias=True)
        rgba = rgba.clamp(0, 1)
        return Views(rgb=rgba[:, :3] + 1 - rgba[:, 3:], alpha=rgba[:, 3:], cameras=cameras)

    def mesh(self, photo: Photo | None = None, resolution: int = 96) -> Mesh:
        """The mean shape; with a photo, only what lies within its silhouette.

        Raises:
            StageFailed: nothing of the mean shape lies within the silhouette.
        """
        points = grid_points(resolution)
        cells = self.solid.float() / 255 - self.level
        places = ((points + 1) * (_CELLS / 2)).flip(-1) / _CELLS * 2 - 1
        field = torch.nn.functional.grid_sample(cells[None, None], places[None], align_corners=False)[0, 0]
        if photo is not None:
            field = torch.minimum(field, within_silhouette(points, photo.rgba[3], photo.camera))
        return mesh_of(smoothed(field))

    def save(self, folder: Path) -> None:
        """Writes the means, whole or not at all."""
        facts = {"level": self.level, "objects": self.objects, "solids": self.solids}
        with atomic_file(folder / _FILE) as unfinished:
            save_file({"ring": self.ring, "solid": self.solid}, unfinished, metadata={"facts": json.dumps(facts)})

    @classmethod
    def load(cls, source: str = BUNDLED) -> "MeanObject":
        """Reads the means that ship with the package, or those of a folder.

        Raises:
            WeightsNotFound: there is no such folder.
            BadInput: it does not hold a mean object.
        """
        path = weights.resolve(source) / _FILE
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()["facts"])
                return cls(ring=file.get_tensor("ring"), solid=file.get_tensor("solid"), **facts)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} is not a mean object ({error}).\nMake one with: epimesh eval mean-object OBJECTS OUT"
            ) from error


@dataclass(frozen=True, eq=False)
class _Shown:
    """One object as it enters the means."""

    ring: Tensor
    inside: Tensor | None


def mean_object(records: Iterable[ObjectRecord], seed: int = 0) -> MeanObject:
    """The means of the given objects. Objects that cannot be read are left out; open ones only of the shape.

    Raises:
        StageFailed: no object could be used.
    """
    ring = torch.zeros(16, 4, _SIZE, _SIZE, dtype=torch.float64)
    insides: list[Tensor] = []
    count = 0
    for shown in _shown(records, np.random.default_rng(seed)):
        ring += shown.ring
        count += 1
        if shown.inside is not None:
            insides.append(shown.inside)
    if not insides:
        raise StageFailed(f"None of the {count} objects is a closed solid, so there is no mean shape.\nGive more.")
    solids = torch.stack(insides)
    solid = solids.float().mean(0)
    return MeanObject(
        ring=(ring / count).round().to(torch.uint8),
        solid=(solid * 255).round().to(torch.uint8),
        level=_best_level(solid, solids),
        objects=count,
        solids=len(insides),
    )


def _shown(records: Iterable[ObjectRecord], random: np.random.Generator) -> Iterator[_Shown]:
    cameras = Cameras.ring(size=_SIZE)
    for record in records:
        angle = float(random.uniform(0, 2 * np.pi))
        try:
            mesh = turned(load_object(record.path), angle)
        except BadInput:
            continue
        mesh = replace(mesh, vertices=mesh.vertices * fitting_scale(mesh.vertices, cameras))
        filled = occupancy(mesh, _CELLS)
        rgba = rasterize(mesh, cameras, Light(), supersample=2).rgba
        yield _Shown(rgba.double(), filled.inside if filled.solid else None)


def _best_level(solid: Float[Tensor, "R R R"], solids: Tensor) -> float:
    """The level whose shape has the best mean IoU with the objects, the one nearest to a half among equals."""

    def overlap(level: float) -> tuple[float, float]:
        shape = solid > level
        both, either = (solids & shape).sum((1, 2, 3)), (solids | shape).sum((1, 2, 3))
        return float((both / either.clamp_min(1)).mean()), -abs(level - 0.5)

    return max((level / 20 for level in range(2, 14)), key=overlap)
