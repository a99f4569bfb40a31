"""The encoder is exactly a principal component analysis; the decoder starts from its inverse."""

import numpy as np
import torch
from known_material import smooth_images

from epimesh.diffusion.autoencoder import SmallAutoencoder
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder


def by_hand(images: torch.Tensor, examples: torch.Tensor, components: int) -> torch.Tensor:
    """Every patch projected on the first principal components of the examples' patches, in numpy."""

    def patches(pictures: torch.Tensor) -> np.ndarray:
        count, _, height, width = pictures.shape
        tiles = pictures.numpy().astype(np.float64).reshape(count, 4, height // 8, 8, width // 8, 8)
        return tiles.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 256)

    known, rows = patches(examples), patches(images)
    mean = known.mean(0)
    directions = np.linalg.svd(known - mean, full_matrices=False)[2][:components]
    rebuilt = (rows - mean) @ directions.T @ directions + mean
    count, _, height, width = images.shape
    tiles = rebuilt.reshape(count, height // 8, width // 8, 4, 8, 8).transpose(0, 3, 1, 4, 2, 5)
    return torch.from_numpy(tiles.reshape(count, 4, height, width)).float()


def test_encoding_and_linear_decoding_is_the_projection_on_the_principal_components(
    fitted: PatchAutoencoder, images: torch.Tensor
) -> None:
    others = smooth_images(3, seed=1)
    expected = by_hand(others, images, 6)
    torch.testing.assert_close(fitted.linear(fitted.encode(others)), expected, atol=2e-4, rtol=0)
    assert float((others - expected).abs().mean()) > 0.01  # six components do not hold everything


def test_an_untrained_decoder_is_the_linear_one(fitted: PatchAutoencoder, images: torch.Tensor) -> None:
    latents = fitted.encode(images)
    assert torch.equal(fitted.decode(latents), fitted.linear(latents))


def test_latents_have_unit_variance_on_average_and_low_frequencies_dominate(
    fitted: PatchAutoencoder, images: torch.Tensor
) -> None:
    latents = fitted.encode(images).permute(1, 0, 2, 3).flatten(1)
    variance = latents.var(1)
    assert abs(float(variance.mean()) - 1) < 0.01
    assert bool((variance.diff() < 1e-3).all())
    assert float(latents.mean(1).abs().max()) < 1e-3


def test_fitting_again_gives_bitwise_the_same_encoder(fitted: PatchAutoencoder, images: torch.Tensor) -> None:
    again = PatchAutoencoder(latent_channels=6, widths=(16, 8, 8), blocks=1)
    again.fit_encoder(images)
    assert torch.equal(again.basis, fitted.basis)
    assert torch.equal(again.scale, fitted.scale)


def test_crops_are_encoded_and_decoded_as_the_whole(fitted: PatchAutoencoder) -> None:
    with torch.no_grad():
        for parameter in fitted.residual.parameters():
            parameter.normal_(std=0.1)  # as after training: the network does something
        whole = smooth_images(1, size=256, seed=2)
        latents = fitted.encode(whole)
        crop = fitted.encode(whole[:, :, 64:192, 32:160])
        torch.testing.assert_close(crop, latents[:, :, 8:24, 4:20], atol=1e-5, rtol=0)
        # Away from the border, where convolutions see padding instead of the neighbourhood.
        part, all_of_it = fitted.decode(crop), fitted.decode(latents)[:, :, 64:192, 32:160]
        torch.testing.assert_close(part[:, :, 48:80, 48:80], all_of_it[:, :, 48:80, 48:80], atol=1e-5, rtol=0)
        assert float((fitted.decode(latents) - fitted.linear(latents)).abs().max()) > 0.01


def test_mirrored_latents_are_those_of_the_mirrored_images(images: torch.Tensor) -> None:
    """Exactly, where the components were fitted to a world in which left and right are alike."""
    network = PatchAutoencoder(latent_channels=6, widths=(8, 8, 8), blocks=1)
    network.fit_encoder(torch.cat([images, images.flip(-1)]))
    autoencoder = SmallAutoencoder(network)
    others = smooth_images(3, seed=1)
    torch.testing.assert_close(
        autoencoder.mirrored(autoencoder.encode(others)), autoencoder.encode(others.flip(-1)), atol=1e-3, rtol=1e-3
    )
