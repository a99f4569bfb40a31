"""The truth about one object whose true views are pictures on disk instead of renders made now."""

from dataclasses import dataclass

import torch

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.truth_object import TruthObject
from epimesh.evaluation.metrics.visible import depth_maps
from epimesh.views import Views

SAME_POSE = 1e-3  # scene units and entries of a rotation


@dataclass(frozen=True, eq=False)
class StoredTruth(TruthObject):
    """The truth about one object whose true views are given pictures.

    Args:
        shown: all of them.
    """

    shown: Views

    def views(self, cameras: Cameras, threads: int = 0) -> Views:
        """The pictures of these cameras, with the depth of the mesh.

        Raises:
            BadInput: there is no picture from one of the cameras, or not of that size.
        """
        chosen = self._pictures_of(cameras)
        found = self.shown[chosen]
        return Views(rgb=found.rgb, alpha=found.alpha, cameras=cameras, depth=depth_maps(self.mesh, cameras, threads))

    def cameras(self, size: int) -> Cameras:
        """Those of the pictures, at their own size."""
        return self.shown.cameras

    def comparable(self, views: Views) -> Views:
        """Answers are compared at the size of the pictures, as published numbers are."""
        height, width = self.shown.cameras.height, self.shown.cameras.width
        if (views.cameras.height, views.cameras.width) == (height, width):
            return views
        sized = [
            torch.nn.functional.interpolate(part, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
            for part in (views.rgb, views.alpha)
        ]
        return Views(rgb=sized[0], alpha=sized[1], cameras=views.cameras.resized(height, width))

    def is_full(self) -> bool:
        """The published protocol leaves no shape out."""
        return True

    def _pictures_of(self, cameras: Cameras) -> list[int]:
        stored = self.shown.cameras
        apart = (cameras.world_to_camera[:, None] - stored.world_to_camera[None]).abs().amax((-1, -2))
        nearest, same_size = apart.min(dim=1), (cameras.height, cameras.width) == (stored.height, stored.width)
        if not same_size or cameras.orthographic or float(nearest.values.max()) > SAME_POSE:
            raise BadInput(
                f"The answer has {len(cameras)} views of {cameras.width} x {cameras.height}, some from where "
                f"there is no picture.\nExpected some of the {len(stored)} cameras of cameras.json."
            )
        return list(nearest.indices.tolist())
