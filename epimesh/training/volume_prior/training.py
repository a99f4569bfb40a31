"""Trains the volume prior: occupancy and colour of a volume, from one photo."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.stages.coarse_prior.network import load_ring_regressor
from epimesh.stages.volume_prior.guess import RingGuess
from epimesh.stages.volume_prior.network import VolumeNetwork, load_volume_network
from epimesh.training.base import Training
from epimesh.training.volume_prior.batches import SolidBatch
from epimesh.training.volume_prior.losses import volume_losses


class VolumePriorTraining(Training):
    """Learns what objects look like from everywhere, from ever new photos of ever new objects.

    Args:
        export: folder that the averaged network is saved to.
        start_from: exported weights to go on from; null starts anew.
        coarse: weights of the coarse prior whose guess the network is given.
        autoencoder: weights of the autoencoder whose latents the coarse prior speaks.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate.
        without_guess: how often real and procedural photos come without the guess. The coarse prior has seen the real
            training objects, so its guess of them is better than it will ever be.
        export_every: steps between exports.
    """

    def __init__(
        self,
        export: str,
        start_from: str | None = None,
        coarse: str = "bundled:coarse-prior",
        autoencoder: str = "bundled:patch-vae",
        minutes: float = 600,
        rate: float = 1e-3,
        without_guess: tuple[float, float] = (0.75, 0.2),
        export_every: int | None = 500,
    ) -> None:
        network = VolumeNetwork()
        if start_from is not None:
            network = load_volume_network(start_from).train().requires_grad_(True)
        super().__init__(
            in_channels_last(network), export=export, minutes=minutes, rate=rate, decay=0.998, export_every=export_every
        )
        self.without_guess = without_guess
        self.guess = RingGuess(load_ring_regressor(coarse), load_autoencoder(autoencoder))

    def training_step(self, batch: SolidBatch, batch_idx: int) -> Tensor:
        """The sum of all losses."""
        with torch.autocast(batch.photo.device.type, enabled=False):
            ring = self._guessed(batch)
        losses = volume_losses(self.network, batch, ring)
        self.log_dict(dict(losses), prog_bar=True)
        return torch.stack(list(losses.values())).sum()

    def _guessed(self, batch: SolidBatch) -> Float[Tensor, "B 16 4 h w"]:
        ring = self.guess.to(str(batch.photo.device))(batch.photo, batch.told_deg)
        share = torch.tensor(self.without_guess, device=ring.device)[batch.group.clamp_max(1)]
        kept = torch.rand(len(ring), device=ring.device) >= share
        return ring * kept[:, None, None, None, None]


def in_channels_last(network: VolumeNetwork) -> VolumeNetwork:
    """The same network in the memory layout that convolutions in bfloat16 are quickest in."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network
