"""What happens to the grid between renderings, and that both engines do the same."""

import numpy as np
import pytest
import torch

from epimesh.reconstruction.neus.engine import CompiledEngine, engine
from epimesh.reconstruction.neus.fit import Schedule, fit
from epimesh.reconstruction.neus.ray_pool import RayPool, ray_pool
from epimesh.reconstruction.neus.torch_engine import TorchEngine
from epimesh.reconstruction.silhouettes import silhouette_views
from epimesh.runtime import Runtime
from epimesh.views import Views

SIDE, RADIUS = 20, 0.5
SPACING = 2 * RADIUS / (SIDE - 1)
AXIS = np.linspace(-RADIUS, RADIUS, SIDE)
CREASE = np.full(SIDE**3, 0.5 * SPACING, np.float32)


def grid_of(distance: np.ndarray) -> np.ndarray:
    color = np.full((SIDE**3, 3), 0.5)
    return np.concatenate([distance.reshape(-1, 1), color], axis=1).astype(np.float32)


def distance_to_ball(radius: float) -> np.ndarray:
    x, y, z = np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2) - radius


def volume_of(model: CompiledEngine | TorchEngine) -> np.ndarray:
    return model.values()[:, 0].reshape(SIDE, SIDE, SIDE)


@pytest.fixture
def pool(ball_views: Views) -> RayPool:
    return ray_pool(silhouette_views(ball_views, None, Runtime(device="cpu")), 1.0, torch.Generator().manual_seed(0))


def test_both_engines_learn_the_same(pool: RayPool) -> None:
    start = grid_of(distance_to_ball(0.24))
    schedule = Schedule(iterations=12, rays=512)
    compiled, plain = CompiledEngine(start, SIDE, RADIUS, 512), TorchEngine(start, SIDE, RADIUS, "cpu")
    losses = [list(fit(model, pool, schedule, seed=0)) for model in (compiled, plain)]
    assert losses[0][-1] < 0.8 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert float(np.abs(compiled.values() - start).max()) > 0.01
    np.testing.assert_allclose(compiled.values(), plain.values(), atol=2e-3)


@pytest.mark.parametrize("step", ["smooth", "redistance"])
def test_both_engines_smooth_and_redistance_the_same(step: str) -> None:
    rough = grid_of(1.4 * distance_to_ball(0.3) + 0.01 * np.random.default_rng(0).normal(size=(SIDE,) * 3))
    compiled, plain = CompiledEngine(rough, SIDE, RADIUS, 1), TorchEngine(rough, SIDE, RADIUS, "cpu")
    for model in (compiled, plain):
        if step == "smooth":
            model.smooth(3 * SPACING, 0.01, CREASE)
        else:
            model.redistance(4 * SPACING)
    assert not np.array_equal(compiled.values(), rough)
    np.testing.assert_allclose(compiled.values(), plain.values(), atol=1e-6)


def test_the_device_decides_which_engine() -> None:
    start = grid_of(distance_to_ball(0.3))
    assert isinstance(engine(start, SIDE, RADIUS, 8, "cpu"), CompiledEngine)
    assert isinstance(engine(start, SIDE, RADIUS, 8, "meta"), TorchEngine)


def test_smoothing_leaves_a_plane_alone_and_removes_bumps() -> None:
    x = np.broadcast_to(AXIS[:, None, None], (SIDE,) * 3) + 0.013
    plane = CompiledEngine(grid_of(x), SIDE, RADIUS, 1)
    bumpy = CompiledEngine(grid_of(x + 0.001 * np.random.default_rng(0).normal(size=(SIDE,) * 3)), SIDE, RADIUS, 1)
    for _ in range(40):
        plane.smooth(4 * SPACING, 0.01, CREASE)
        bumpy.smooth(4 * SPACING, 0.01, CREASE)
    np.testing.assert_allclose(volume_of(plane), x, atol=1e-6)
    middle = (slice(8, 12), slice(4, -4), slice(4, -4))
    assert np.abs(volume_of(bumpy) - x)[middle].std() < 0.0003


def test_smoothing_does_not_swell_a_plate_one_cell_thick() -> None:
    plate = np.broadcast_to(np.abs(AXIS - AXIS[10])[:, None, None] - 0.5 * SPACING, (SIDE,) * 3)
    model, without_stop = (CompiledEngine(grid_of(plate), SIDE, RADIUS, 1) for _ in range(2))
    for _ in range(40):
        model.smooth(4 * SPACING, 0.01, CREASE)
        without_stop.smooth(4 * SPACING, 0.01, np.full(SIDE**3, np.inf, np.float32))
    inner = (10, slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(volume_of(model)[inner], plate[inner], atol=1e-6)
    assert np.abs(volume_of(without_stop) - plate)[inner].min() > 0.05 * SPACING


def test_creases_are_smoothed_all_the_same_where_views_are_in_doubt(pool: RayPool) -> None:
    plate = np.broadcast_to(np.abs(AXIS - AXIS[10])[:, None, None] - 0.5 * SPACING, (SIDE,) * 3)
    schedule = Schedule(iterations=7, rays=8, distance_rate=0.0)
    doubted = np.zeros((SIDE,) * 3, bool)
    doubted[:, :, 10:] = True
    model = CompiledEngine(grid_of(plate), SIDE, RADIUS, 8)
    list(fit(model, pool, schedule, seed=0, doubted=doubted.ravel()))
    moved = np.abs(volume_of(model) - plate)[10, 4:-4]
    assert moved[:, 4:8].max() < 1e-6
    assert moved[:, 11:-4].min() > 0.01 * SPACING


def test_redistancing_restores_the_slope_and_leaves_the_surface_where_it_is() -> None:
    true = distance_to_ball(0.3)
    model = CompiledEngine(grid_of(true * (1.5 + AXIS[:, None, None])), SIDE, RADIUS, 1)
    for _ in range(60):
        model.redistance(1.0)
    error = np.abs(volume_of(model) - true)[np.abs(true) < 3 * SPACING]
    assert error.mean() < 0.15 * SPACING
    assert error.max() < 0.35 * SPACING
    assert np.array_equal(volume_of(model) < 0, true < 0)


def test_every_ray_is_drawn_once_before_any_is_drawn_again(pool: RayPool) -> None:
    total = len(pool.order)
    drawn = np.concatenate([pool.batch(n, 100).target[:, 3] for n in range(total // 100)])
    assert np.array_equal(np.sort(pool.order), np.arange(total))
    assert abs(float(drawn.mean()) - float(pool.rays.target[:, 3].mean())) < 0.01
    assert np.array_equal(pool.batch(3, 100).origins, pool.batch(3, 100).origins)


def test_a_ray_of_the_photo_weighs_more(ball_views: Views) -> None:
    from epimesh.photo import Photo

    photo = Photo(torch.cat([ball_views.rgb[0], ball_views.alpha[0]]), elevation_deg=20.0, fov_deg=49.134)
    seen = silhouette_views(ball_views[[0]], photo, Runtime(device="cpu"))
    weights = ray_pool(seen, 3.0, torch.Generator().manual_seed(0)).rays.weight
    assert float((weights == 3).mean()) == pytest.approx(0.5)
    assert set(weights.tolist()) == {1.0, 3.0}
