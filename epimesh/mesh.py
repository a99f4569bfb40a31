"""A textured triangle mesh, in the z-up world of the pipeline. `files.meshes` writes files of other conventions.

What people do with a mesh (export, look at it) is offered here and done by the rooms above, imported when it is called.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.checked import checked
from epimesh.errors import BadInput

if TYPE_CHECKING:
    import trimesh


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Mesh(Artifact):
    """Triangles with outward normals (counter-clockwise seen from outside), z up, in scene units.

    Args:
        vertices: positions. A textured mesh repeats vertices along the seams of its texture.
        faces: vertex indices of each triangle.
        uv: texture coordinates per vertex in glTF's convention: (0, 0) is the upper left corner of the texture.
        texture: sRGB colours, first row on top.
        vertex_rgb: sRGB colours per vertex, for meshes without a texture.
        unseen_share: share of the surface's area that no image shows, so that its colours in the texture are guessed.
            None where nobody counted.
    """

    vertices: Float[Tensor, "N 3"]
    faces: Int[Tensor, "F 3"]
    uv: Float[Tensor, "N 2"] | None = None
    texture: Float[Tensor, "3 T1 T2"] | None = None
    vertex_rgb: Float[Tensor, "N 3"] | None = None
    unseen_share: float | None = None

    def export(
        self,
        path: str | Path,
        *,
        origin: Literal["centre", "ground"] = "centre",
        height: float | None = None,
        texture_format: Literal["png", "jpeg", "webp"] = "png",
        compress: Literal["none", "meshopt", "draco"] = "none",
    ) -> Path:
        """Writes the mesh as a file that other programs open, and returns its path.

        Args:
            path: ends with .glb, .gltf, .obj, .ply, .stl, .3mf, .usd or .usdz. Missing folders are made.
            origin: "ground" puts the lowest point at height 0.
            height: how tall it becomes, in metres; None leaves one scene unit as one metre.
            texture_format: of the picture in GLB and glTF.
            compress: of the geometry in a GLB; needs the program gltf-transform.

        Raises:
            BadInput: an unknown suffix or setting, or the file cannot be written.
            StageFailed: the mesh is empty, inside out or not finite.
            MissingExtra: USD without usd-core, compression without gltf-transform.
        """
        from epimesh.files.meshes import ExportSettings, write_mesh

        place = Path(path).expanduser()
        settings = ExportSettings(origin=origin, height=height, texture_format=texture_format, compress=compress)
        write_mesh(self, place, settings)
        return place

    def to_trimesh(self) -> "trimesh.Trimesh":
        """The mesh with its texture in trimesh: metres, +Y up, front towards +Z, as in a GLB."""
        from epimesh.files.meshes.in_trimesh import as_trimesh

        return as_trimesh(self)

    def save(self, folder: str | Path) -> None:
        """Writes the tensors into a folder, as stages keep them. Files for other programs come from `export`.

        Raises:
            BadInput: the name is that of a mesh file.
        """
        from epimesh.files.meshes import FORMATS

        if Path(folder).suffix.lower().lstrip(".") in FORMATS:
            raise BadInput(
                f"save() writes a folder of tensors, and {folder} names a mesh file.\n"
                f"Write that with mesh.export({str(folder)!r})."
            )
        super().save(folder)

    def _repr_html_(self) -> str:
        """The mesh in a notebook: it turns, and can be turned."""
        from epimesh.files.viewer import viewer_frame

        return viewer_frame(self, "mesh")

    def _repr_png_(self) -> bytes:
        """The mesh from four sides, for notebooks that show no pages."""
        from epimesh.rendering.turntable import turntable

        frames = turntable(self, frames=4, size=256)
        sheet = Image.new("RGB", (4 * 256, 256))
        for index, frame in enumerate(frames):
            sheet.paste(frame, (index * 256, 0))
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG")
        return buffer.getvalue()

    def is_closed(self) -> bool:
        """True if two triangles run along every edge, in opposite directions. Seams of the texture are no cuts."""
        _, place = torch.unique(self.vertices, dim=0, return_inverse=True)
        corners = place[self.faces]
        start, end = corners.reshape(-1), corners.roll(-1, 1).reshape(-1)
        real = start != end
        start, end = start[real], end[real]
        along = (start * len(self.vertices) + end).unique()
        return len(along) == len(start) and torch.equal(along, (end * len(self.vertices) + start).sort().values)

    def is_inside_out(self) -> bool:
        """True for a closed mesh whose triangles face inwards: the volume that they enclose is negative."""
        a, b, c = (self.vertices - self.vertices.mean(0)).double()[self.faces].unbind(1)
        volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
        size = float((self.vertices.amax(0) - self.vertices.amin(0)).max())
        return volume < -1e-6 * size**3 and self.is_closed()

    def face_normals(self) -> Float[Tensor, "F 3"]:
        """Unit normals of the triangles; zero for degenerate ones."""
        a, b, c = self.vertices[self.faces].unbind(1)
        return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)

    def vertex_normals(self) -> Float[Tensor, "N 3"]:
        """Unit normals of the vertices: the mean of their faces, weighted by area. Seams share one normal.

        A vertex without any area around it, of which no direction can be said, gets +z, so that all are unit length.
        """
        a, b, c = self.vertices.double()[self.faces].unbind(1)  # squares of tiny sides vanish in single precision
        area_normals = torch.linalg.cross(b - a, c - a)
        _, place = torch.unique(self.vertices, dim=0, return_inverse=True)
        sums = torch.zeros(int(place.max()) + 1, 3, dtype=torch.float64)
        for corner in range(3):
            sums.index_add_(0, place[self.faces[:, corner]], area_normals)
        normals = torch.nn.functional.normalize(sums, dim=-1, eps=1e-300)
        normals[normals.norm(dim=-1) < 0.5] = normals.new_tensor([0.0, 0.0, 1.0])
        return normals[place].to(self.vertices)

    def corner_normals(self, crease_deg: float = 39.0) -> Float[Tensor, "F 3 3"]:
        """Unit normals of the three corners of every triangle: smooth on curved parts, sharp at creases.

        A corner takes the mean normal of all triangles that meet there, weighted by their angles, unless that leans
        more than `crease_deg` away from its own triangle. So a box keeps flat sides and hard edges while a ball is
        round, however their sides are cut into triangles.
        """
        corners = self.vertices[self.faces]
        flat = self.face_normals()[:, None].expand(-1, 3, -1)
        ahead = torch.nn.functional.normalize(corners.roll(-1, 1) - corners, dim=-1)
        angle = (ahead * -ahead.roll(1, 1)).sum(-1, keepdim=True).clamp(-1, 1).acos()
        _, place = torch.unique(self.vertices, dim=0, return_inverse=True)
        sums = torch.zeros(int(place.max()) + 1, 3, dtype=self.vertices.dtype)
        sums.index_add_(0, place[self.faces].reshape(-1), (flat * angle).reshape(-1, 3))
        smooth = torch.nn.functional.normalize(sums, dim=-1)[place[self.faces]]
        bent = (smooth * flat).sum(-1, keepdim=True) < math.cos(math.radians(crease_deg))
        return torch.where(bent, flat, smooth)
