"""What silhouettes forbid together, and where one of them contradicts the others."""

from dataclasses import replace

import numpy as np
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.reconstruction import MarchingCubes, NeuS
from epimesh.reconstruction.silhouette_conflicts import outer_bound
from epimesh.reconstruction.silhouettes import SilhouetteView, silhouette_views
from epimesh.reconstruction.visual_hull import visual_hull
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.views import Views

RADIUS, RESOLUTION = 0.5, 48
AXIS = np.linspace(-RADIUS, RADIUS, RESOLUTION)


def hull_of(seen: list[SilhouetteView]) -> np.ndarray:
    return visual_hull(seen, RADIUS, RESOLUTION, underside=1.0).field


def test_views_of_one_object_agree_so_that_their_hull_is_the_bound(ball_views: Views, cpu: Runtime) -> None:
    seen = silhouette_views(ball_views, None, cpu)
    hull = hull_of(seen)
    assert np.array_equal(outer_bound(seen, hull, RADIUS), hull)


def test_a_silhouette_that_claims_more_than_the_others_lifts_the_bound_on_its_own_rays(
    ball_views: Views, cpu: Runtime
) -> None:
    alpha = ball_views.alpha.clone()
    alpha[0, :, 30:34, 2:20] = 1  # an arm that no other view knows
    seen = silhouette_views(replace(ball_views, alpha=alpha), None, cpu)
    hull = hull_of(seen)
    bound = outer_bound(seen, hull, RADIUS)
    lifted = bound < hull
    points = torch.tensor(np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), -1)).float()
    pixels, _ = ball_views.cameras[0].project(points.reshape(-1, 3))
    column, row = pixels[:, 0].reshape(*lifted.shape, 2).unbind(-1)
    claimed = ((column > 0) & (column < 21) & (row > 28) & (row < 36)).numpy()
    assert lifted.any()
    assert not (lifted & ~claimed).any()
    assert (bound[lifted] == -RADIUS).all()


def test_neus_makes_a_thin_plate_no_thicker_than_the_views_show(cpu: Runtime) -> None:
    box = trimesh.creation.box((0.8, 0.02, 0.6)).subdivide().subdivide().subdivide()
    plate = Mesh(
        torch.tensor(box.vertices).float(), torch.tensor(box.faces), vertex_rgb=torch.full((len(box.vertices), 3), 0.5)
    )
    views = render_mesh(plate, Cameras.ring(size=128), threads=1)
    surface = NeuS(resolution=64, iterations=150, rays=1024)(views, None, runtime=cpu)
    made = MarchingCubes()(surface, runtime=cpu)
    cell = 2 * surface.radius / 63
    middle = made.vertices[(made.vertices[:, 0].abs() < 0.3) & (made.vertices[:, 2].abs() < 0.2)]
    assert len(middle) > 100
    assert float(middle[:, 1].abs().median()) < 0.01 + 0.75 * cell
