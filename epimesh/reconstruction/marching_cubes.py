"""From a surface to triangles: closed, outward, manifold, and as many as were asked for."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.errors import BadInput, StageFailed
from epimesh.mesh import Mesh
from epimesh.pipeline.contracts import Mesher
from epimesh.reconstruction.closed_triangles import Triangles, defects, simplified, without_crumbs
from epimesh.runtime import Runtime
from epimesh.surface import Surface

TOLERANCE = 0.02  # share of `faces` by which the mesh may miss it
MOST_FACES = 2_000_000  # more than the finest grid has on any object
FINEST = 384  # grid points per side; more would not fit into a small machine's memory


@dataclass(frozen=True, kw_only=True)
class MarchingCubes(Mesher):
    """Triangles of the zero level, simplified. The mesh is closed, and its triangles face outwards.

    Small separate parts are dropped with a warning: those with less than `crumbs` of the area that are not long
    either (less than 15 % of the longest side), and bubbles inside, which nobody sees.

    Args:
        resolution: grid points along each side of the surface's cube.
        faces: number of triangles, met within 2 %; 0 keeps all.
        crumbs: share of the whole area below which a separate part is dropped if it is not long either.
        colors: give every vertex the colour of the surface, for texels that no image shows.
    """

    resolution: int = 160
    faces: int = 20_000
    crumbs: float = 0.03
    colors: bool = False

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= FINEST or not (self.faces == 0 or 100 <= self.faces <= MOST_FACES):
            raise BadInput(
                f"resolution is {self.resolution} and faces {self.faces}.\n"
                f"Expected a resolution of 8 to {FINEST}, and 100 to {MOST_FACES} faces (or 0 to keep all)."
            )

    def __call__(self, surface: Surface, *, runtime: Runtime) -> Mesh:
        """The mesh.

        Raises:
            StageFailed: the surface is empty or not finite, it leaves its cube, or no closed mesh can be made of it.
        """
        whole, dropped = without_crumbs(extracted(surface, self.resolution), self.crumbs)
        if self.faces:
            whole = self._with_faces(whole, surface, runtime)
        if dropped:
            runtime.reporter.warn(f"{dropped} small separate parts or bubbles of the surface were dropped.")
        if problem := defects(whole):
            raise StageFailed(
                f"The mesh has {problem}, but it has to be closed.\n"
                "Set another --mesh.resolution, or smooth the surface more (--reconstruct.smoothing)."
            )
        mesh = Mesh(torch.from_numpy(whole.vertices).float(), torch.from_numpy(whole.faces).long())
        if not self.colors:
            return mesh
        return replace(mesh, vertex_rgb=surface.color(mesh.vertices, -mesh.vertex_normals()).cpu().clone())

    def _with_faces(self, whole: Triangles, surface: Surface, runtime: Runtime) -> Triangles:
        """The triangles simplified to `faces`; from a finer grid if there are too few."""
        resolution = self.resolution
        while len(whole.faces) < self.faces and resolution < FINEST:
            finer = resolution * 1.05 * (self.faces / max(len(whole.faces), 1)) ** 0.5
            resolution = min(FINEST, int(finer) + 1)
            whole, _ = without_crumbs(extracted(surface, resolution), self.crumbs)
        fewer = simplified(whole, self.faces)
        if fewer is None:
            runtime.reporter.warn("Simplifying would have torn the mesh, so it was made on a coarser grid instead.")
            return self._coarser(surface, resolution, len(whole.faces))
        if abs(len(fewer.faces) - self.faces) > TOLERANCE * self.faces:
            runtime.reporter.warn(f"The mesh has {len(fewer.faces)} triangles instead of {self.faces}.")
        return fewer

    def _coarser(self, surface: Surface, resolution: int, found: int) -> Triangles:
        """Triangles straight from a grid that gives about `faces` of them, or a little less."""
        coarser = max(8, int(resolution * (self.faces / found) ** 0.5))
        whole, _ = without_crumbs(extracted(surface, coarser), self.crumbs)
        return whole


def extracted(surface: Surface, resolution: int) -> Triangles:
    """All triangles of the zero level on a grid of `resolution` points per side.

    Raises:
        StageFailed: the surface is empty or not finite, or it leaves its cube.
    """
    from skimage.measure import marching_cubes

    field = surface.sdf_grid(resolution).cpu().numpy()
    spacing = 2 * surface.radius / (resolution - 1)
    _check(field, surface.radius, spacing)
    # Distances of exactly zero would make triangles without area. Only they are touched: the grid may be large.
    nudged, least = field.copy(), np.float32(1e-3 * spacing)
    nearly = np.abs(field) < least
    nudged[nearly] = np.where(field[nearly] < 0, -least, least)
    vertices, faces, _, _ = marching_cubes(nudged, 0.0, gradient_direction="descent")
    return Triangles((vertices * spacing - surface.radius).astype(np.float32), faces.astype(np.int64))


def _check(field: NDArray[np.float32], radius: float, spacing: float) -> None:
    if not np.isfinite(field).all():
        raise StageFailed(
            f"{int((~np.isfinite(field)).sum())} of {field.size} distances of the surface are not finite.\n"
            "Something before this stage failed: look at the views, and reconstruct again with another seed."
        )
    if (field > 0).all():
        raise StageFailed(
            f"The surface is empty: all distances are positive (the smallest is {field.min():.3g}, the grid's spacing "
            f"{spacing:.3g}).\nExpected an object. Look at the views; for thin objects set a finer --mesh.resolution "
            "and less --reconstruct.smoothing."
        )
    if any((side <= 0).any() for axis in range(3) for side in (np.take(field, 0, axis), np.take(field, -1, axis))):
        raise StageFailed(
            f"The surface leaves its cube of half side {radius:.3g}, so it cannot be closed.\n"
            "Expected empty space around the object. Check that no view cuts the object off at the image border."
        )
