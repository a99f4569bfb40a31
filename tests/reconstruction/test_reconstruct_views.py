"""Views in, surface out: known shapes come back, and bad views are refused or left out with a reason."""

from dataclasses import replace

import numba
import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, StageFailed
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.reconstruction import NeuS, VisualHull
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.surface import GridSurface
from epimesh.views import Views

QUICK = NeuS(resolution=48, iterations=90, rays=1024, smoothing=0.6)
HULL = VisualHull(resolution=48, smoothing=0.0)


def error_at(surface: GridSurface, mesh: Mesh) -> float:
    """Mean distance between the true surface and the reconstructed one, measured at the true vertices."""
    return float(surface.sdf(mesh.vertices).abs().mean())


@pytest.fixture(scope="module")
def hollow() -> Mesh:
    """A bowl: its hollow is invisible to silhouettes."""
    import trimesh

    profile = [[0.0, -0.2], [0.3, -0.2], [0.3, 0.15], [0.24, 0.15], [0.24, -0.1], [0.0, -0.1]]
    bowl = trimesh.creation.revolve(profile, sections=48).subdivide().subdivide()
    vertices = torch.tensor(bowl.vertices).float()
    # Stripes say where the bottom of the hollow is.
    stripes = 0.5 + 0.4 * torch.sin(40 * vertices)
    return Mesh(vertices, torch.tensor(bowl.faces).long(), vertex_rgb=stripes)


def test_a_ball_comes_back(ball: Mesh, ball_views: Views, cpu: Runtime) -> None:
    surface = QUICK(ball_views, None, runtime=cpu)
    assert error_at(surface, ball) < 0.006
    assert float(surface.sdf(torch.zeros(1, 3))) < -0.2


def test_a_torus_comes_back_with_its_hole(torus: Mesh, torus_views: Views, cpu: Runtime) -> None:
    surface = QUICK(torus_views, None, runtime=cpu)
    assert error_at(surface, torus) < 0.012
    assert float(surface.sdf(torch.zeros(1, 3))) > 0.05


def test_colours_come_back(ball: Mesh, ball_views: Views, cpu: Runtime) -> None:
    assert ball.vertex_rgb is not None
    found = QUICK(ball_views, None, runtime=cpu).color(ball.vertices, -ball.vertices)
    assert float((found - ball.vertex_rgb).abs().mean()) < 0.03


def test_the_hull_contains_the_object(torus: Mesh, torus_views: Views, cpu: Runtime) -> None:
    surface = HULL(torus_views, None, runtime=cpu)
    spacing = 2 * surface.radius / (HULL.resolution - 1)
    assert float(surface.sdf(torus.vertices).max()) < 0.5 * spacing  # interpolation and half-covered pixels
    assert float(surface.sdf(torch.tensor([[0.0, 0.0, 0.45]]))) > 0.05


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(ball_views: Views) -> None:
    stage, before = replace(QUICK, iterations=12), numba.get_num_threads()
    surfaces = []
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            surfaces += [stage(ball_views, None, runtime=Runtime("cpu", seed=4)) for _ in range(2)]
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(surfaces[0].distances, other.distances) for other in surfaces[1:])
    assert all(torch.equal(surfaces[0].colors, other.colors) for other in surfaces[1:])


def test_another_seed_takes_the_rays_in_another_order(ball_views: Views) -> None:
    stage = replace(QUICK, iterations=12)
    one, other = (stage(ball_views, None, runtime=Runtime("cpu", seed=seed)) for seed in (0, 1))
    assert not torch.equal(one.distances, other.distances)
    assert float((one.distances - other.distances).abs().max()) < 0.05


def test_the_photo_is_one_more_view_from_its_own_elevation(ball_views: Views, cpu: Runtime) -> None:
    """Behind two side views there is nothing that limits the height of the hull but the photo from above."""
    import trimesh

    flat = trimesh.creation.cylinder(0.3, 0.1)
    mesh = Mesh(torch.tensor(flat.vertices).float(), torch.tensor(flat.faces).long())
    sides = render_mesh(mesh, Cameras.on_sphere(torch.tensor([90.0, 270.0]), torch.tensor([60.0, 60.0]), size=64))
    shown = render_mesh(mesh, Cameras.on_sphere(torch.zeros(1), torch.tensor([5.0]), size=64))
    photo = Photo(torch.cat([shown.rgb[0], shown.alpha[0]]), elevation_deg=5.0, fov_deg=49.134)
    above = torch.tensor([[0.0, 0.0, 0.15]])
    assert float(HULL(sides, None, runtime=cpu).sdf(above)) < 0
    assert float(HULL(sides, photo, runtime=cpu).sdf(above)) > 0.05
    assert float(replace(HULL, use_photo=False)(sides, photo, runtime=cpu).sdf(above)) < 0
    assert float(replace(QUICK, iterations=30)(sides, photo, runtime=cpu).sdf(above)) > 0.05
    assert float(replace(QUICK, iterations=30, photo_weight=0.0)(sides, photo, runtime=cpu).sdf(above)) < 0


def test_the_cube_holds_what_the_photo_shows_even_if_no_view_shows_it(ball_views: Views, cpu: Runtime) -> None:
    tall = ball_views.alpha[0].clone()
    tall[:, 2:-2, 28:36] = 1
    photo = Photo(torch.cat([ball_views.rgb[0], tall]), elevation_deg=20.0, fov_deg=49.134)
    alone, beside = (QUICK(ball_views, each, runtime=cpu).radius for each in (None, photo))
    assert alone < 0.45 < beside


def test_no_iterations_give_the_hull(ball_views: Views, cpu: Runtime) -> None:
    nothing_done = replace(QUICK, iterations=0, smoothing=0.0)(ball_views, None, runtime=cpu)
    hull = HULL(ball_views, None, runtime=cpu)
    near = hull.distances.abs() < 0.1
    assert float((nothing_done.distances - hull.distances)[near].abs().max()) < 0.03  # seen through the coarsest grid


def test_what_is_drawn_from_the_surface_is_what_the_views_show(ball_views: Views, cpu: Runtime) -> None:
    drawn = QUICK(ball_views, None, runtime=cpu).render(ball_views.cameras[[0, 3]])
    assert float((drawn.alpha - ball_views.alpha[[0, 3]]).abs().mean()) < 0.01
    assert float((drawn.rgb - ball_views.rgb[[0, 3]]).abs().mean()) < 0.02


@pytest.mark.parametrize("stage", [HULL, replace(QUICK, iterations=3)], ids=["hull", "neus"])
class TestBadViews:
    def test_all_empty(self, stage: NeuS | VisualHull, ball_views: Views, cpu: Runtime) -> None:
        nothing = replace(ball_views, alpha=torch.zeros_like(ball_views.alpha))
        with pytest.raises(StageFailed, match="None of the 12 views shows an object: 12 are empty"):
            stage(nothing, None, runtime=cpu)

    def test_one_empty_view_is_left_out_with_a_warning(
        self, stage: NeuS | VisualHull, ball: Mesh, ball_views: Views
    ) -> None:
        alpha = ball_views.alpha.clone()
        alpha[3] = 0
        reporter = Silent()
        surface = stage(replace(ball_views, alpha=alpha), None, runtime=Runtime("cpu", reporter=reporter))
        assert "1 are empty" in reporter.warnings[0]
        assert error_at(surface, ball) < 0.02

    def test_views_that_are_not_finite_are_left_out(
        self, stage: NeuS | VisualHull, ball: Mesh, ball_views: Views
    ) -> None:
        rgb = ball_views.rgb.clone()
        rgb[5, 1, 20, 20] = torch.nan
        reporter = Silent()
        surface = stage(replace(ball_views, rgb=rgb), None, runtime=Runtime("cpu", reporter=reporter))
        assert "1 hold numbers that are not finite" in reporter.warnings[0]
        assert surface.distances.isfinite().all()
        assert surface.colors.isfinite().all()
        assert error_at(surface, ball) < 0.02

    def test_one_view_gives_something_as_deep_as_it_is_wide(
        self, stage: NeuS | VisualHull, ball_views: Views, cpu: Runtime
    ) -> None:
        surface = stage(ball_views[0], None, runtime=cpu)
        depth = ball_views.cameras.forward[0]
        assert float(surface.sdf(torch.zeros(1, 3))) < 0
        assert float(surface.sdf(0.6 * depth[None])) > 0
        assert float(surface.sdf(-0.6 * depth[None])) > 0

    def test_cameras_that_look_elsewhere(self, stage: NeuS | VisualHull, ball_views: Views, cpu: Runtime) -> None:
        turned = ball_views.cameras.world_to_camera.clone()
        turned[:, :3] = torch.tensor([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]]) @ turned[:, :3]
        away = replace(ball_views.cameras, world_to_camera=turned)
        with pytest.raises(StageFailed, match=r"have nothing in common(.|\n)*Check their cameras"):
            stage(replace(ball_views, cameras=away), None, runtime=cpu)

    def test_views_of_twice_the_size_that_their_cameras_say(
        self, stage: NeuS | VisualHull, ball: Mesh, ball_views: Views, cpu: Runtime
    ) -> None:
        half = ball_views.cameras.resized(32, 32)
        assert error_at(stage(replace(ball_views, cameras=half), None, runtime=cpu), ball) < 0.02

    def test_views_of_another_shape_than_their_cameras(
        self, stage: NeuS | VisualHull, ball_views: Views, cpu: Runtime
    ) -> None:
        wide = replace(ball_views.cameras, width=96)
        with pytest.raises(StageFailed, match=r"64 x 64 pixels, but 12 cameras for images of 96 x 64"):
            stage(replace(ball_views, cameras=wide), None, runtime=cpu)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 4}, "resolution is 4, expected 16 to 512"),
        ({"smoothing": -1.0}, "smoothing is -1.0"),
        ({"rays": 0}, "at least one ray"),
        ({"photo_weight": -1.0}, "photo_weight -1.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        NeuS(**settings)


def test_hull_colours_are_those_of_the_cameras_that_see_the_place(ball: Mesh, ball_views: Views, cpu: Runtime) -> None:
    """Seen from both sides the ball has other colours; no camera may paint through it."""
    assert ball.vertex_rgb is not None
    found = HULL(ball_views, None, runtime=cpu).color(ball.vertices, -ball.vertices)
    assert float((found - ball.vertex_rgb).abs().mean()) < 0.05
