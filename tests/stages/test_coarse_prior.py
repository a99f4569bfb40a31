"""The coarse prior: components of views, and a regressor as a stage."""

from pathlib import Path

import pytest
import torch

from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadWeights, WeightsNotFound
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.coarse_prior.components import ViewComponents
from epimesh.stages.coarse_prior.network import RingRegressor, load_ring_regressor
from epimesh.stages.coarse_prior.stage import CoarsePrior

CPU = Runtime("cpu")


def latents_on_a_plane(count: int) -> torch.Tensor:
    """Latent images that differ in three ways only."""
    ways = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    return 5 + torch.einsum("bk,kchw->bchw", torch.randn(count, 3), ways)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    autoencoder = PatchAutoencoder(latent_channels=2, widths=(8, 8, 8), blocks=1)
    autoencoder.fit_encoder(torch.rand(4, 4, 64, 64))
    autoencoder.save_pretrained(tmp_path / "vae")
    RingRegressor(latent_channels=2, latent_size=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(
        tmp_path / "prior"
    )
    return tmp_path


def stage(weights: Path) -> CoarsePrior:
    return CoarsePrior(weights=str(weights / "prior"), autoencoder=str(weights / "vae"))


def test_as_many_components_as_ways_to_differ_describe_views_exactly() -> None:
    views = latents_on_a_plane(50)
    components = ViewComponents(2, 4, codes=3)
    components.fit(views, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(components.decode(components.encode(views)), views, atol=1e-4, rtol=1e-4)


def test_a_distance_of_codes_is_a_distance_of_pixels() -> None:
    views = latents_on_a_plane(50)
    components = ViewComponents(2, 4, codes=3)
    scale = torch.tensor([2.0, 0.5])
    components.fit(views, scale)
    codes = components.encode(views)
    in_pixels = ((views[0] - views[1]) * scale[:, None, None]).norm()
    torch.testing.assert_close((codes[0] - codes[1]).norm(), in_pixels, atol=1e-4, rtol=1e-4)


def test_the_first_component_is_the_one_that_varies_most() -> None:
    components = ViewComponents(2, 4, codes=3)
    components.fit(latents_on_a_plane(50), torch.ones(2))
    assert components.deviation.tolist() == sorted(components.deviation.tolist(), reverse=True)


def test_the_ring_starts_at_the_photo_and_has_sixteen_views_at_elevation_30(weights: Path) -> None:
    made = stage(weights)(Photo(torch.rand(4, 40, 40), 10.0, 49.1), runtime=CPU)
    azimuth, elevation = made.cameras.azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.arange(16) * 22.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(elevation, torch.full((16,), 30.0), atol=1e-3, rtol=0)
    assert made.latents.shape == (16, 2, 4, 4)
    assert made.cameras.height == 32


def test_what_it_says_depends_on_photo_and_elevation(weights: Path) -> None:
    rgba = torch.rand(4, 32, 32)
    plain = stage(weights)(Photo(rgba, 10.0, 49.1), runtime=CPU).latents
    assert torch.equal(plain, stage(weights)(Photo(rgba, 10.0, 49.1), runtime=CPU).latents)
    assert not torch.allclose(plain, stage(weights)(Photo(rgba, 30.0, 49.1), runtime=CPU).latents)
    assert not torch.allclose(plain, stage(weights)(Photo(rgba.flip(-1), 10.0, 49.1), runtime=CPU).latents)


def test_weights_of_another_model_are_refused_by_name(weights: Path) -> None:
    with pytest.raises(BadWeights, match="PatchAutoencoder"):
        load_ring_regressor(str(weights / "vae"))
    with pytest.raises(WeightsNotFound, match="bundled:"):
        load_ring_regressor("nowhere")
