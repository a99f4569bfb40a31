"""A small network that tells a camera's elevation from the cut-out photo."""

from typing import NamedTuple

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from epimesh import weights
from epimesh.weights.loading import load_network

PIXELS = 128  # of the photo, per side


class Elevation(NamedTuple):
    """Estimates for B photos, in degrees.

    Args:
        degrees: above the horizon.
        spread: mean absolute error that is to be expected.
    """

    degrees: Float[Tensor, "B"]
    spread: Float[Tensor, "B"]


class _Block(nn.Module):
    """Two convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.silu(self.first(functional.silu(self.norm(x)))))


class ElevationNetwork(ModelMixin, ConfigMixin):
    """Photos on white with coverage to elevations.

    Args:
        widths: channels at 32, 16, 8 and 4 pixels.
        hidden: of the perceptron at the end.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, ...] | list[int] = (48, 64, 96, 128), hidden: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(4), nn.Conv2d(64, widths[0], 3, padding=1), _Block(widths[0])]
        for number, width in enumerate(widths[1:]):
            layers += [nn.Conv2d(widths[number], width, 3, stride=2, padding=1), _Block(width)]
        self.convolutions = nn.Sequential(*layers)
        self.answer = nn.Sequential(
            nn.Linear(16 * widths[-1], hidden), nn.SiLU(), nn.Dropout(0.2), nn.Linear(hidden, 2)
        )

    def forward(self, photo: Float[Tensor, "B 4 128 128"]) -> Elevation:
        """Of photos whose object is centred and fills the frame, or nearly."""
        said = self.answer(functional.silu(self.convolutions(photo * 2 - 1)).flatten(1)).float()
        return Elevation(20 + 20 * said[:, 0], 10 * said[:, 1].exp())


def load_elevation_network(source: str) -> ElevationNetwork:
    """The network in a weights folder.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: it is damaged or holds another model.
    """
    network = load_network(ElevationNetwork, weights.resolve(source)).requires_grad_(False).eval()
    assert isinstance(network, ElevationNetwork)
    return network
