"""Trains the coarse prior: from one photo to the ring of views, by regression."""

import torch
from torch import Tensor

from epimesh.stages.coarse_prior.components import ViewComponents
from epimesh.stages.coarse_prior.network import RingRegressor, load_ring_regressor
from epimesh.training.base import Training
from epimesh.training.coarse_prior.data import RingBatch, RingData


class CoarsePriorTraining(Training):
    """Learns the mean of all rings that a photo may belong to.

    Args:
        export: folder that the averaged network is saved to.
        start_from: exported weights to go on from, made from the same data; null starts anew.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate.
        codes: principal components per view; as the data's.
        width: of the perceptron.
        hidden: of the inner layers of its blocks.
        blocks: how many.
        photo_noise: deviation of the noise on the photo's codes, in deviations of the codes.
        elevation_noise_deg: deviation of the noise on the elevation: users guess it.
    """

    def __init__(
        self,
        export: str,
        start_from: str | None = None,
        minutes: float = 8,
        rate: float = 1e-3,
        codes: int = 384,
        width: int = 512,
        hidden: int = 1024,
        blocks: int = 4,
        photo_noise: float = 0.05,
        elevation_noise_deg: float = 4.0,
    ) -> None:
        network = RingRegressor(codes=codes, width=width, hidden=hidden, blocks=blocks)
        if start_from is not None:
            network = load_ring_regressor(start_from).train().requires_grad_(True)
        super().__init__(network, export=export, minutes=minutes, rate=rate, decay=0.998)
        self.photo_noise = photo_noise
        self.elevation_noise_deg = elevation_noise_deg

    def on_fit_start(self) -> None:
        """Takes over the components that the data are described by."""
        if isinstance(data := self.trainer.datamodule, RingData):
            self.describe_by(data.components)

    def describe_by(self, components: ViewComponents) -> None:
        """Takes over the components that codes are made by."""
        self.network.components.load_state_dict(components.state_dict())
        for name, tensor in components.state_dict().items():
            self.averaged.weights[f"components.{name}"].copy_(tensor)

    def training_step(self, batch: RingBatch, batch_idx: int) -> Tensor:
        """The squared error of pixels, as a share of their variance."""
        deviation = self.network.components.deviation
        photo = batch.photo + self.photo_noise * deviation * torch.randn_like(batch.photo)
        elevation = batch.elevation_deg + self.elevation_noise_deg * torch.randn_like(batch.elevation_deg)
        codes = self.network.ring_codes(photo, elevation)
        loss = (codes - batch.ring).square().sum(-1).mean() / deviation.square().sum()
        self.log("loss", loss, prog_bar=True)
        return loss
