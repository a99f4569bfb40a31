"""Decoding view by view: the same in any chunks, refused for latents of another family."""

from pathlib import Path

import pytest
import torch

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.decoders import VaeDecoder
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import StageMismatch, WeightsNotFound
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

CPU = Runtime("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    network = PatchAutoencoder(latent_channels=6, widths=(16, 8, 8), blocks=1)
    network.fit_encoder(torch.rand(8, 4, 32, 32))
    for parameter in network.residual.parameters():
        parameter.data.normal_(std=0.2)
    network.save_pretrained(tmp_path / "patch")
    return str(tmp_path / "patch")


def latents(channels: int = 6, family: str = "patch") -> LatentViews:
    photo = Photo(torch.rand(4, 32, 32), 30.0, FOV_DEG)
    return LatentViews(3 * torch.randn(5, channels, 4, 4), Cameras.ring(5, size=32), photo, family)


def test_chunks_do_not_change_the_images(weights: str) -> None:
    given = latents()
    whole = VaeDecoder(weights=weights, batch=5)(given, runtime=CPU)
    for batch in (1, 2, 16):
        parts = VaeDecoder(weights=weights, batch=batch)(given, runtime=CPU)
        torch.testing.assert_close(parts.rgb, whole.rgb, atol=1e-4, rtol=0)
        torch.testing.assert_close(parts.alpha, whole.alpha, atol=1e-4, rtol=0)


def test_images_have_the_cameras_of_the_latents_and_lie_between_0_and_1(weights: str) -> None:
    given = latents()
    views = VaeDecoder(weights=weights)(given, runtime=CPU)
    assert views.cameras is given.cameras
    assert views.rgb.shape == (5, 3, 32, 32)
    assert 0 <= float(views.rgb.min()) < float(views.rgb.max()) <= 1
    assert float(views.rgb.max()) == 1  # the latents are wild enough to need the limit


@pytest.mark.parametrize(
    ("channels", "family", "words"),
    [(6, "sd", "family 'sd' with 6 channels"), (4, "patch", "family 'patch' with 4 channels")],
    ids=["another family", "another number of channels"],
)
def test_latents_of_another_kind_are_refused_with_both_names(
    weights: str, channels: int, family: str, words: str
) -> None:
    with pytest.raises(StageMismatch, match=f"{words}.*decodes 'patch' with 6[^$]*--decode.weights"):
        VaeDecoder(weights=weights)(latents(channels, family), runtime=CPU)


def test_making_the_stage_costs_nothing_and_release_drops_the_network(weights: str) -> None:
    VaeDecoder(weights="nowhere")
    decoder = VaeDecoder(weights=weights)
    decoder(latents(), runtime=CPU)
    assert "autoencoder" in decoder.__dict__
    decoder.release()
    assert set(decoder.__dict__) == {"weights", "latent_space", "batch", "coverage"}
    with pytest.raises(WeightsNotFound):
        VaeDecoder(weights="nowhere")(latents(), runtime=CPU)
