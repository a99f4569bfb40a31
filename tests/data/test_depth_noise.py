"""Depth noise keeps to its bounds, is repeatable, and only the structured kind survives to coarse maps."""

import pytest
import torch

from epimesh.data.posed.depth_noise import DepthNoise

BOUND = 0.1 * (1 + 1 / 3 + 1 / 9)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coarse_deviation(error: torch.Tensor) -> float:
    return float(torch.nn.functional.avg_pool2d(error[:, None], 8).std())


def test_structured_errors_reach_the_coarsest_maps_and_independent_ones_do_not() -> None:
    depth = torch.full((40, 256, 256), 1.5)
    structured = DepthNoise()(depth, seeded()) - depth
    independent = DepthNoise(kind="independent")(depth, seeded()) - depth
    assert coarse_deviation(structured) > 0.04
    assert coarse_deviation(independent) < 0.01
    assert 0.1 < float(structured.abs().max()) <= BOUND + 1e-6  # 1.6 % of pixels leave the margin of 0.1
    assert 0.005 < float((structured.abs() > 0.1).float().mean()) < 0.03
    assert 0.099 < float(independent.abs().max()) <= 0.1 + 1e-6
    assert abs(float(independent.std()) - 0.1 / 3**0.5) < 1e-3
    assert abs(float(structured.mean())) < 0.01


def test_the_fields_have_3_64_and_128_values_per_side_and_a_third_of_the_height_each() -> None:
    """By hand: bilinear fields of uniform values, drawn one after the other, as the paper's formula reads."""
    depth, generator = torch.full((2, 256, 256), 1.5), seeded(5)
    expected = depth
    for grid, height in ((3, 0.1), (64, 0.1 / 3), (128, 0.1 / 9)):
        values = height * (2 * torch.rand(2, 1, grid, grid, generator=generator) - 1)
        expected = expected + torch.nn.functional.interpolate(values, (256, 256), mode="bilinear")[:, 0]
    torch.testing.assert_close(DepthNoise()(depth, seeded(5)), expected, atol=1e-6, rtol=0)


def test_every_view_has_errors_of_its_own_and_a_seed_repeats_them() -> None:
    depth = torch.full((4, 64, 64), 1.5)
    for kind in ("structured", "independent"):
        noise = DepthNoise(kind=kind)
        once = noise(depth, seeded(3))
        assert torch.equal(noise(depth, seeded(3)), once)
        assert not torch.equal(noise(depth, seeded(4)), once)
        assert not torch.equal(once[0], once[1])


def test_no_noise_and_no_amplitude_change_nothing_and_draw_nothing() -> None:
    depth = torch.rand(2, 16, 16)
    generator = seeded()
    before = generator.get_state()
    for noise in (DepthNoise(kind="none"), DepthNoise(amplitude=0.0), DepthNoise(kind="independent", amplitude=0.0)):
        assert torch.equal(noise(depth, generator), depth)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("kind", ["structured", "independent"])
def test_unknown_depth_stays_unknown_and_known_depth_known(kind: str) -> None:
    depth = torch.where(torch.rand(3, 64, 64) < 0.5, torch.inf, 1.5)
    noisy = DepthNoise(kind=kind)(depth, seeded())
    assert torch.equal(noisy.isinf(), depth.isinf())
    assert not noisy.isnan().any()
    assert (noisy != depth)[depth.isfinite()].float().mean() > 0.99


def test_a_grid_of_one_shifts_the_whole_view() -> None:
    depth = torch.rand(3, 16, 16)
    error = DepthNoise(grids=(1,), fractions=(0.5,))(depth, seeded()) - depth
    assert float(error.flatten(1).std(dim=1).max()) < 1e-6
    assert (error[:, 0, 0].abs() > 1e-4).all()
    assert (error.abs() <= 0.05 + 1e-6).all()


def test_grids_without_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many fractions as grids[^$]*got grids \(3, 64\)"):
        DepthNoise(grids=(3, 64))
