"""Pictures of a surface are those of its mesh."""

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.reconstruction import MarchingCubes
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface

CAMERAS = Cameras.on_sphere(torch.tensor([10.0, 130.0]), torch.tensor([25.0, -40.0]), size=48)


@pytest.fixture(scope="module")
def torus() -> GridSurface:
    axis = torch.linspace(-0.5, 0.5, 72)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distances = torch.hypot(torch.hypot(x, y) - 0.28, z) - 0.11
    return GridSurface(distances, torch.stack([x, y, z]) + 0.5, 0.5)


@pytest.fixture(scope="module")
def mesh(torus: GridSurface) -> Mesh:
    return MarchingCubes(resolution=128, faces=0)(torus, runtime=Runtime("cpu"))


def test_depth_and_coverage_are_those_of_rays_cast_at_the_mesh(torus: GridSurface, mesh: Mesh) -> None:
    drawn, cast = torus.render(CAMERAS), render_mesh(mesh, CAMERAS, supersample=1, threads=1)
    assert drawn.depth is not None
    assert cast.depth is not None
    assert float((drawn.alpha != cast.alpha).float().mean()) < 0.004  # a few pixels at the rim
    both = (drawn.alpha[:, 0] > 0) & (cast.alpha[:, 0] > 0)
    assert int(both.sum()) > 400
    assert float((drawn.depth - cast.depth)[both].abs().quantile(0.99)) < 0.004
    assert torch.equal(drawn.depth.isfinite(), drawn.alpha[:, 0] > 0)


def test_normals_point_out_in_the_world_and_are_those_of_the_mesh(torus: GridSurface, mesh: Mesh) -> None:
    drawn, cast = torus.render(CAMERAS), render_mesh(mesh, CAMERAS, supersample=1, threads=1)
    assert drawn.normals is not None
    assert cast.normals is not None
    both = (drawn.alpha[:, 0] > 0) & (cast.alpha[:, 0] > 0)
    cosine = (drawn.normals * cast.normals).sum(1)[both]
    assert float(cosine.mean()) > 0.995
    assert not drawn.normals[(drawn.alpha == 0).expand(-1, 3, -1, -1)].any()


def test_colours_are_those_of_the_places_that_are_hit(torus: GridSurface) -> None:
    drawn = torus.render(CAMERAS)
    assert drawn.depth is not None
    hit = drawn.alpha[:, 0] > 0
    places = CAMERAS.unproject(torch.where(hit, drawn.depth, torch.ones_like(drawn.depth)))
    torch.testing.assert_close(drawn.rgb.permute(0, 2, 3, 1)[hit], places[hit] + 0.5, atol=1e-3, rtol=0)
    assert bool((drawn.rgb.permute(0, 2, 3, 1)[~hit] == 1).all())


def test_orthographic_cameras_see_the_right_depth(torus: GridSurface) -> None:
    above = Cameras.on_sphere(torch.zeros(1), torch.tensor([89.9]), size=32)
    intrinsics = torch.tensor([[[32.0, 0, 16], [0, 32, 16], [0, 0, 1]]])
    flat = Cameras(above.world_to_camera, intrinsics, 32, 32, orthographic=True)
    depth = torus.render(flat).depth
    assert depth is not None
    assert float(depth[0].min()) == pytest.approx(1.5 - 0.11, abs=0.003)
    assert not depth[0, 16, 16].isfinite()  # through the hole


def test_an_empty_surface_is_drawn_white() -> None:
    nothing = GridSurface(torch.full((8, 8, 8), 0.3), torch.zeros(3, 8, 8, 8), 0.5)
    drawn = nothing.render(CAMERAS)
    assert bool((drawn.rgb == 1).all())
    assert not drawn.alpha.any()


def test_a_camera_inside_the_cube_sees_what_is_in_front_of_it(torus: GridSurface) -> None:
    near = Cameras.on_sphere(torch.zeros(1), torch.zeros(1), size=32, distance=0.05)  # in the hole, looking along -x
    depth = torus.render(near).depth
    assert depth is not None
    assert float(depth[0, 16, 16]) == pytest.approx(0.05 + 0.28 - 0.11, abs=0.004)


def test_fewer_than_two_steps_are_refused(torus: GridSurface) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        torus.render(CAMERAS, steps=1)


def test_the_compiled_march_over_a_grid_is_the_general_one(torus: GridSurface) -> None:
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(4000, 3, generator=random), dim=-1)
    origins = torch.randn(4000, 3, generator=random) * 0.5 - 0.8 * directions  # outside, inside, and past the torus
    general = Surface.first_crossings(torus, origins, directions, 96)
    compiled = torus.first_crossings(origins, directions, 96)
    assert 0.1 < float(general.isfinite().float().mean()) < 0.9
    assert float((general.isfinite() != compiled.isfinite()).float().mean()) < 1e-3  # rays that graze it
    both = general.isfinite() & compiled.isfinite()
    assert float((general - compiled)[both].abs().quantile(0.999)) < 1e-4
