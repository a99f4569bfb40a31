"""A regressor from one photo to the 16 views of the ring, in milliseconds. Right on average, so its views are soft."""

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from epimesh import weights
from epimesh.stages.coarse_prior.components import ViewComponents
from epimesh.weights.loading import load_network

_ELEVATION = 4  # features of the elevation


class ResidualLayer(nn.Module):
    """A widening pair of linear layers beside a skip."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return x + self.narrow(nn.functional.silu(self.widen(self.norm(x))))


class RingRegressor(ModelMixin, ConfigMixin):
    """Latents of a photo and its elevation to those of the ring: elevation 30, azimuth 360 i / views from the photo.

    Both sides are principal components of whole latent images. A multilayer perceptron in between is enough to learn
    layout and colour from thousands of objects in minutes.

    Args:
        latent_channels: of the autoencoder.
        latent_size: side of the latent images.
        codes: principal components per image.
        width: of the perceptron.
        hidden: of the inner layers of its blocks.
        blocks: how many.
        views: on the ring.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        latent_size: int = 16,
        codes: int = 384,
        width: int = 512,
        hidden: int = 1024,
        blocks: int = 4,
        views: int = 16,
    ) -> None:
        super().__init__()
        self.components = ViewComponents(latent_channels, latent_size, codes)
        self.enter = nn.Linear(codes + _ELEVATION, width)
        self.middle = nn.Sequential(*[ResidualLayer(width, hidden) for _ in range(blocks)], nn.LayerNorm(width))
        self.leave = nn.Linear(width, views * codes)

    def ring_codes(self, photo: Float[Tensor, "B K"], elevation_deg: Float[Tensor, "B"]) -> Float[Tensor, "B V K"]:
        """Codes of the ring from codes of the photo."""
        deviation = self.components.deviation
        # Divided by the root of their deviation: large structures lead, fine ones still count.
        scaled = photo / (deviation * deviation.mean()).sqrt()
        x = self.enter(torch.cat([scaled, _elevation_features(elevation_deg)], dim=1))
        codes = self.leave(self.middle(x)).reshape(len(photo), self.config.views, self.config.codes)
        return codes * deviation.mean()

    def forward(self, photo: Float[Tensor, "B C h w"], elevation_deg: Float[Tensor, "B"]) -> Float[Tensor, "B V C h w"]:
        """Latents of the ring from latents of the photo."""
        return self.components.decode(self.ring_codes(self.components.encode(photo), elevation_deg))


def _elevation_features(elevation_deg: Float[Tensor, "B"]) -> Float[Tensor, "B 4"]:
    angle = elevation_deg * (math.pi / 180)
    return torch.stack([2 * angle, angle.sin(), (3 * angle).sin(), (3 * angle).cos()], dim=1)


def load_ring_regressor(source: str) -> RingRegressor:
    """The regressor in a weights folder.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: it is damaged or holds another model.
    """
    network = load_network(RingRegressor, weights.resolve(source)).requires_grad_(False)
    assert isinstance(network, RingRegressor)
    return network
