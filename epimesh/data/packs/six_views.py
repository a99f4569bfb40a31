"""Six views of an object with depth and normals, for training the decoder that aligns views: one folder per object.

The views are those of Wonder3D, in ring order: front, front right, right, back, left, front left, all from the height
of the object. Its cameras are orthographic; pinhole cameras of this package stand at the same places.

Source: Tang et al. (arXiv:2408.14016), training on six fixed views of 256 pixels as Wonder3D has them; Long et al.,
"Wonder3D" (arXiv:2310.15008), section 5.1 for the views and random turns of the objects.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.objects import ObjectRecord
from epimesh.data.packs.render_objects import RenderSettings, fitting_scale, random_light, random_numbers
from epimesh.data.posed.transforms_json import FILE
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file, atomic_folder
from epimesh.files.posed_set import write_transforms
from epimesh.mesh import Mesh
from epimesh.rendering.blender import blender_rgba
from epimesh.rendering.ray_casting import Light
from epimesh.rendering.two_sided import render_two_sided
from epimesh.views import Views

AZIMUTHS_DEG = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
ORTHOGRAPHIC_WIDTH = 1.35  # scene units across an image, as Wonder3D's renders have it
_SAME_SHAPE = 0.95  # IoU of Blender's silhouettes and the rays'; less means that depth would belong to another shape


@dataclass(frozen=True, kw_only=True)
class SixViewSettings:
    """How six views are rendered.

    Args:
        size: pixels per side.
        supersample: rays per pixel and side.
        projection: "orthographic" as Wonder3D's, or "perspective" with the standard distance and field of view.
        vary: random yaw and light, as training wants it; else the object as it is in a standard light.
        seed: of the random choices, together with the name of the object.
        renderer: "rays" casts rays and knows the base colour of materials; "blender" takes colours from Cycles, and
            depth and normals from rays.
    """

    size: int = 256
    supersample: int = 2
    projection: Literal["orthographic", "perspective"] = "orthographic"
    vary: bool = True
    seed: int = 0
    renderer: Literal["rays", "blender"] = "rays"


@dataclass(frozen=True)
class SixViewJob:
    """One object to render: what it is, where its folder goes, and how its mesh is made."""

    record: ObjectRecord
    out: Path
    settings: SixViewSettings
    load: Callable[[ObjectRecord], Mesh]

    @property
    def id(self) -> str:
        """Name of the object."""
        return self.record.id

    @property
    def folder(self) -> Path:
        """Where its views lie once they are complete."""
        return self.out / self.record.id


def six_view_cameras(size: int, projection: str) -> Cameras:
    """The six cameras."""
    cameras = Cameras.on_sphere(torch.tensor(AZIMUTHS_DEG), torch.zeros(len(AZIMUTHS_DEG)), size=size)
    if projection == "perspective":
        return cameras
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, [0, 1], [0, 1]] = size / ORTHOGRAPHIC_WIDTH
    return replace(cameras, intrinsics=intrinsics, orthographic=True)


def render_six_views(job: SixViewJob) -> None:
    """Renders one object into its folder, whole or not at all.

    The folder holds what `read_posed_views(folder, geometry=True)` reads, and `object.json`: name, split, family,
    licence, attribution, and the turn and scale that were applied.

    Raises:
        BadInput: the object cannot be read, or nothing of it is seen.
    """
    settings, record = job.settings, job.record
    cameras = six_view_cameras(settings.size, settings.projection)
    random = random_numbers(RenderSettings(seed=settings.seed), record.id)
    yaw = random.uniform(0, 2 * np.pi) if settings.vary else 0.0
    light = random_light(random) if settings.vary else Light()
    mesh = job.load(record)
    turn = _turn(yaw)
    scale = fitting_scale(mesh.vertices[mesh.faces.unique()] @ turn.T, cameras)
    placed = replace(mesh, vertices=mesh.vertices @ (scale * turn).T)
    views = render_two_sided(placed, cameras, light=light, supersample=settings.supersample)
    if not (views.alpha > 0.5).flatten(1).any(dim=1).all():
        raise BadInput(f"{record.id} is not seen in all views.\nExpected an object with an extent in all directions.")
    if settings.renderer == "blender":
        views = _with_colors(views, blender_rgba(record.path, scale * turn, cameras, light))
    facts = {"yaw_deg": float(np.rad2deg(yaw)), "scale": scale, "renderer": settings.renderer}
    _write_whole(views, {**_description(record), **facts}, job.folder)


def _turn(angle: float) -> Float[Tensor, "3 3"]:
    """Counter-clockwise from above, in radians."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    return torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _with_colors(views: Views, rgba: Float[Tensor, "V 4 H W"]) -> Views:
    """The views with colours and coverage by another renderer, if that saw the same shape."""
    alpha = rgba[:, 3:]
    seen, expected = alpha > 0.5, views.alpha > 0.5
    same = float((seen & expected).sum() / (seen | expected).sum().clamp_min(1))
    if same < _SAME_SHAPE:
        raise BadInput(
            f"Blender's silhouettes share {same:.0%} with those of the mesh, expected {_SAME_SHAPE:.0%}: it may be "
            "transparent, posed by bones, or not made of triangles.\n"
            "Its depth would not belong to its images: leave it out, or use --renderer rays."
        )
    return replace(views, rgb=rgba[:, :3] * alpha + 1 - alpha, alpha=alpha)


def _description(record: ObjectRecord) -> dict[str, object]:
    return {key: value for key, value in asdict(record).items() if key != "path"}


def _write_whole(views: Views, description: dict[str, object], folder: Path) -> None:
    with atomic_folder(folder) as unfinished:
        write_transforms(views, unfinished)
        (unfinished / "object.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def claim_folder(out: Path, settings: SixViewSettings) -> None:
    """Makes a folder of renders, and refuses one that was begun with other settings.

    Raises:
        BadInput: views of other settings are there.
    """
    statement = out / "settings.json"
    wanted = asdict(settings)
    if statement.is_file():
        found = json.loads(statement.read_text(encoding="utf-8"))
        if found != wanted:
            different = ", ".join(sorted(key for key in wanted if found.get(key) != wanted[key]))
            raise BadInput(
                f"{out} holds views that were rendered with other settings: {different} differ.\n"
                "Expected the same ones to go on: repeat them, or choose another folder."
            )
        return
    with atomic_file(statement) as unfinished:
        unfinished.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def waiting(jobs: list[SixViewJob]) -> list[SixViewJob]:
    """The jobs whose views are not there yet."""
    return [job for job in jobs if not (job.folder / FILE).is_file()]
