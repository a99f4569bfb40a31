"""The photo as generators see it: reduced, on white, encoded."""

from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.photo import Photo


def photo_latents(photo: Photo, autoencoder: Autoencoder, latent_size: int) -> Float[Tensor, "1 C h w"]:
    """Scaled latents of the photo on white with its coverage, at the size that a generator was trained for."""
    small = photo.resized(latent_size * autoencoder.factor)
    image = small.on_white_with_coverage()
    parameter = next(autoencoder.network.parameters())
    return autoencoder.encode(image[None].to(parameter))
