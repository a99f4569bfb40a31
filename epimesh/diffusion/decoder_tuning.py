"""A decoder made to fit one scene: it gains there, and is spoilt for everything else.

Source: Jambon, ETH Zurich (2023), table 4.1: 3 to 4 dB for a field of latents, and a decoder that others cannot use.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.errors import StageMismatch


def tuned(
    autoencoder: Autoencoder,
    latents: Float[Tensor, "V C h w"],
    images: Float[Tensor, "V 4 H W"],
    *,
    steps: int = 100,
    rate: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Autoencoder:
    """A copy whose decoder shows these images for these latents. The one that is given stays as it is.

    Args:
        autoencoder: whose encoder is kept, too; what it encodes no longer means what this decoder decodes.
        latents: as a field shows them, for example.
        images: what they should decode to.
        steps: of Adam; each looks at one view.
        rate: of Adam.
        generator: of the order of views.

    Raises:
        StageMismatch: images and latents do not belong together.
    """
    size = tuple(side * autoencoder.factor for side in latents.shape[-2:])
    if len(latents) != len(images) or tuple(images.shape[-2:]) != size:
        raise StageMismatch(
            f"There are {len(latents)} latents that decode to {size[1]} x {size[0]}, and {len(images)} images of "
            f"{images.shape[-1]} x {images.shape[-2]}.\nExpected an image of that size for each."
        )
    copy = deepcopy(autoencoder)
    copy.network.requires_grad_(True)
    optimizer = torch.optim.Adam(copy.network.parameters(), lr=rate)
    for _ in range(steps):
        view = int(torch.randint(len(images), (), generator=generator))
        loss = (copy.decode(latents[view : view + 1]) - images[view : view + 1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    copy.network.requires_grad_(False)
    return copy
