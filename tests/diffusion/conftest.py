"""A small autoencoder with an encoder fitted on pictures that have structure."""

import pytest
import torch
from known_material import smooth_images

from epimesh.diffusion.patch_autoencoder import PatchAutoencoder


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return smooth_images(24)


@pytest.fixture
def fitted(images: torch.Tensor) -> PatchAutoencoder:
    """Fresh for every test; its decoder is untrained."""
    torch.manual_seed(0)
    network = PatchAutoencoder(latent_channels=6, widths=(16, 8, 8), blocks=1)
    network.fit_encoder(images)
    return network.eval()
