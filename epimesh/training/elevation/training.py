"""Trains the network that tells a camera's elevation from a cut-out photo."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from epimesh.stages.elevation.network import ElevationNetwork, load_elevation_network
from epimesh.training.base import Training
from epimesh.training.volume_prior.batches import SolidBatch

_SCALES, _SHIFT = (0.8, 1.15), 0.06  # of the object in its frame, and in halves of the frame
_DARKEST = 0.7


class ElevationTraining(Training):
    """Learns the elevation and how far off it usually is: the likelihood of a Laplace distribution.

    Args:
        export: folder that the averaged network is saved to.
        start_from: exported weights to go on from; null starts anew.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate.
    """

    def __init__(self, export: str, start_from: str | None = None, minutes: float = 60, rate: float = 1.5e-3) -> None:
        network = ElevationNetwork()
        if start_from is not None:
            network = load_elevation_network(start_from).train().requires_grad_(True)
        super().__init__(network, export=export, minutes=minutes, rate=rate, decay=0.995)

    def training_step(self, batch: SolidBatch, batch_idx: int) -> Tensor:
        """Mean over the photos of |error| / spread + log spread."""
        found = self.network(reframed(batch.photo))
        error = (found.degrees - batch.elevation_deg).abs()
        loss = (error / found.spread + found.spread.log()).mean()
        self.log_dict({"loss": loss, "mean_error_deg": error.mean()}, prog_bar=True)
        return loss


def reframed(photo: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 4 H W"]:
    """The objects a little larger or smaller, beside the middle, and darker, on white as before."""
    count = len(photo)
    scale = torch.empty(count, device=photo.device).uniform_(*_SCALES)
    place = torch.zeros(count, 2, 3, device=photo.device)
    place[:, 0, 0] = place[:, 1, 1] = 1 / scale
    place[:, :, 2].uniform_(-_SHIFT, _SHIFT)
    # What lies beyond the frame is zero, so colours are turned round: zero is white.
    turned = torch.cat([1 - photo[:, :3], photo[:, 3:]], dim=1)
    grid = functional.affine_grid(place, list(photo.shape), align_corners=False)
    moved = functional.grid_sample(turned, grid, align_corners=False)
    bright = torch.empty(count, 1, 1, 1, device=photo.device).uniform_(_DARKEST, 1)
    return torch.cat([1 - moved[:, :3] * bright, moved[:, 3:]], dim=1)
