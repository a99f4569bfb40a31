"""Trains the decoder of the patch autoencoder. Its encoder is fitted, not trained."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.training.base import Training
from epimesh.training.data.pack_data import PackData, PackPairs, ViewBatch, on_white


class PatchAutoencoderTraining(Training):
    """Learns to decode latents, with losses that need no pretrained network.

    Args:
        export: folder that the averaged network is saved to.
        minutes: length of the schedule by wall clock.
        latent_channels: principal components kept per patch.
        rate: peak learning rate.
        crop: side of the training crops, in pixels.
        latent_noise: deviation of the noise on latents, so that imperfect ones decode well too.
        fit_batches: batches that the encoder is fitted on.
    """

    def __init__(
        self,
        export: str,
        minutes: float = 6,
        latent_channels: int = 12,
        rate: float = 1e-3,
        crop: int = 64,
        latent_noise: float = 0.05,
        fit_batches: int = 40,
    ) -> None:
        network = PatchAutoencoder(latent_channels=latent_channels)
        super().__init__(network, export=export, minutes=minutes, rate=rate, decay=0.998)
        self.crop = crop
        self.latent_noise = latent_noise
        self.fit_batches = fit_batches

    def on_fit_start(self) -> None:
        """Fits the encoder, unless a checkpoint brings one."""
        if self.trainer.ckpt_path is None:
            data = self.trainer.datamodule
            assert isinstance(data, PackData)
            pairs = PackPairs(data.groups(), data.batch, 1.0, data.seed + 1)
            batches = itertools.islice(pairs, self.fit_batches)
            self.network.fit_encoder(torch.cat([on_white(batch.target) for batch in batches]))
            self.averaged.weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.save_for_use()  # the encoder is final, so others can start on its latents

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        """Reconstruction of random crops."""
        images = random_crops(on_white(torch.cat([batch.photo, batch.target])), self.crop)
        with torch.no_grad():
            latents = self.network.encode(images)
            latents = latents + self.latent_noise * torch.randn_like(latents)
        loss = reconstruction_loss(self.network.decode(latents), images)
        self.log("loss", loss, prog_bar=True)
        return loss


def random_crops(images: Float[Tensor, "B 4 H W"], size: int) -> Float[Tensor, "B 4 s s"]:
    """A random square of every image, on the grid of 8-pixel patches."""
    steps = (images.shape[-1] - size) // 8 + 1
    tops, lefts = (torch.randint(steps, (len(images),)) * 8 for _ in range(2))
    crops = [image[:, t : t + size, s : s + size] for image, t, s in zip(images, tops, lefts, strict=True)]
    return torch.stack(crops)


def reconstruction_loss(
    made: Float[Tensor, "B 4 H W"], truth: Float[Tensor, "B 4 H W"], background: float = 0.3
) -> Float[Tensor, ""]:
    """Absolute and squared differences, heavier on the object, plus differences of gradients on three scales.

    Args:
        made: on white, with coverage.
        truth: the same.
        background: how much a pixel off the object counts, next to 2 of one on it.
    """
    near = torch.nn.functional.max_pool2d(truth[:, 3:], 3, stride=1, padding=1)
    difference = made - truth
    loss = ((0.5 * difference.abs() + difference.square()) * (background + (2 - background) * near)).mean()
    for _ in range(3):
        across, down = difference.diff(dim=-1), difference.diff(dim=-2)
        loss = loss + 0.5 * (across.abs().mean() + down.abs().mean())
        difference = torch.nn.functional.avg_pool2d(difference, 2)
    return loss
