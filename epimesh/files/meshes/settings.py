"""How a mesh is written to files: where it stands, how large it is, and how small the file."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from epimesh.errors import BadInput
from epimesh.mesh import Mesh

Origin = Literal["centre", "ground"]
TextureFormat = Literal["png", "jpeg", "webp"]
Compression = Literal["none", "meshopt", "draco"]

_UNITS = {"mm": 1e-3, "cm": 1e-2, "in": 0.0254, "m": 1.0}
_SMALLEST_HEIGHT, _LARGEST_HEIGHT = 1e-4, 1e4  # metres


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a mesh is written.

    Args:
        origin: "centre" leaves the mesh around the origin; "ground" puts its lowest point at height 0.
        height: how tall the mesh becomes, in metres; None leaves one scene unit as one metre.
        texture_format: of the picture in GLB and glTF. WebP is small and needs a viewer that knows EXT_texture_webp;
            JPEG is opened by all.
        compress: of the geometry in a GLB, by the program gltf-transform.
    """

    origin: Origin = "centre"
    height: float | None = None
    texture_format: TextureFormat = "png"
    compress: Compression = "none"

    def __post_init__(self) -> None:
        for name, kinds in (("origin", Origin), ("texture_format", TextureFormat), ("compress", Compression)):
            if getattr(self, name) not in get_args(kinds):
                raise BadInput(f"{name} is '{getattr(self, name)}'.\nExpected one of: {', '.join(get_args(kinds))}.")
        if self.height is not None and not _SMALLEST_HEIGHT <= self.height <= _LARGEST_HEIGHT:
            raise BadInput(
                f"The height is {self.height:g} metres.\nExpected {_SMALLEST_HEIGHT * 1e3:g} mm to "
                f"{_LARGEST_HEIGHT:g} m, e.g. --height 120mm (in Python: height=0.12)."
            )

    def scale(self, mesh: Mesh) -> float:
        """Metres per scene unit of this mesh."""
        tall = float(mesh.vertices[:, 2].amax() - mesh.vertices[:, 2].amin()) if len(mesh.vertices) else 0.0
        if self.height is None:
            return 1.0
        if tall < 1e-9:
            raise BadInput("The mesh is flat: it has no height that could be set.\nLeave out --height.")
        return self.height / tall

    def lift(self, mesh: Mesh) -> float:
        """How far the mesh is raised, in scene units, before it is scaled."""
        return -float(mesh.vertices[:, 2].amin()) if self.origin == "ground" and len(mesh.vertices) else 0.0

    def placed(self, mesh: Mesh) -> Mesh:
        """The mesh where and as large as it is written."""
        if self.origin == "centre" and self.height is None:
            return mesh
        raised = mesh.vertices + torch.tensor([0.0, 0.0, self.lift(mesh)]).to(mesh.vertices)
        return replace(mesh, vertices=raised * self.scale(mesh))


def metres_of(length: str) -> float:
    """How many metres a length such as "120mm", "12 cm", "0.5m" or "5in" is.

    Raises:
        BadInput: it is not a number with a unit.
    """
    unit = next((unit for unit in _UNITS if length.strip().lower().endswith(unit)), None)
    try:
        if unit is None:
            raise ValueError
        return float(length.strip()[: -len(unit)]) * _UNITS[unit]
    except ValueError as error:
        raise BadInput(
            f"--height is '{length[:60]}'.\nExpected a number with its unit ({', '.join(_UNITS)}), e.g. --height 120mm."
        ) from error
