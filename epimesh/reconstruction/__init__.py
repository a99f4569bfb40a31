"""From images to a surface, and from a surface to triangles."""

from epimesh.reconstruction.marching_cubes import MarchingCubes
from epimesh.reconstruction.neus.stage import NeuS
from epimesh.reconstruction.prior_surface import PriorSurface
from epimesh.reconstruction.visual_hull_stage import VisualHull

__all__ = ["MarchingCubes", "NeuS", "PriorSurface", "VisualHull"]
