"""From a surface to triangles: closed, outward, manifold, and as many as were asked for."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.errors import StageFailed
from epimesh.mesh import Mesh
from epimesh.pipeline.contracts import Mesher
from epimesh.runtime import Runtime
from epimesh.surface import Surface


@dataclass(frozen=True, kw_only=True)
class MarchingCubes(Mesher):
    """Triangles of the zero level, simplified.

    Args:
        resolution: cells along each side of the surface's cube.
        faces: number of triangles to simplify to; 0 keeps all.
    """

    resolution: int = 160
    faces: int = 20_000

    def __call__(self, surface: Surface, *, runtime: Runtime) -> Mesh:
        from skimage.measure import marching_cubes

        field = surface.sdf_grid(self.resolution).numpy()
        spacing = 2 * surface.radius / (self.resolution - 1)
        vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(spacing,) * 3, gradient_direction="ascent")
        vertices -= surface.radius
        if self.faces and len(faces) > self.faces:
            import fast_simplification

            vertices, faces = fast_simplification.simplify(vertices, faces, target_count=self.faces)
        return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces.astype(np.int64)))
