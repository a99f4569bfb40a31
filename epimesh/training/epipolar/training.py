"""Trains the epipolar decoder at its published size, beginning as Stable Video Diffusion's decoder."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh import weights
from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.decoders.epipolar.depth_guided import check_ring
from epimesh.decoders.epipolar.network import EpipolarVae
from epimesh.errors import WeightsNotFound
from epimesh.training.base import Exporting
from epimesh.training.epipolar.data import PosedObject, read_posed_object
from epimesh.training.epipolar.latents import ViewLatents
from epimesh.training.epipolar.losses import GradientDifference, PerceptualDifference
from epimesh.training.syncdreamer.training import step_random
from epimesh.views import contact_sheet
from epimesh.weights.loading import load_network

_SVD = "stabilityai/stable-video-diffusion-img2vid"


class EpipolarDecoderTraining(Exporting):
    """Fine-tunes the whole decoder with its new attention, one object of six views per step and process.

    The random numbers of a step follow from the seed and the number of its object alone, so that a training that was
    stopped goes on as if it had not been.

    Args:
        export: folder that is written, for the stage `EpipolarDecoder`.
        svd: the folder `vae` of stabilityai/stable-video-diffusion-img2vid. Its encoder, which is that of Stable
            Diffusion, makes the latents; its decoder is what the training begins with.
        start_from: an exported network to go on from, with its settings; null begins anew.
        vgg: torchvision's weights of VGG16, for a perceptual loss. Without it the difference of image gradients takes
            its place, which is not what the paper used.
        rate: learning rate, constant.
        squared: weight of the squared error, of images in [-1, 1].
        other: weight of the perceptual loss, or of what takes its place.
        depth_noise: errors of the depth; the structured ones of the paper if not given.
        recompute: compute layers again on the way back instead of keeping what they held.
        samples: points per segment at every level, coarsest first.
        neighbours: how many other views each view looks at.
        margin: half the length of a segment in scene units.
        front: how the photo, which is view 0, is used: add, source or none.
        keep_latents: keep the latents of every object beside its views.
        shown: folder of one object, of which pictures are written beside the export; null writes none.
        shown_every: steps between pictures.
        export_every: steps between exports, so that an interrupted training leaves something usable.
        seed: of noise and points.

    Source:
        Tang et al. (arXiv:2408.14016), section 4: squared error and perceptual loss, rate 1e-5, one object per step on
        each of 8 GPUs, 3000 iterations. The weights of the losses and the optimiser are not given there.
    """

    def __init__(
        self,
        export: str,
        svd: str,
        start_from: str | None = None,
        vgg: str | None = None,
        rate: float = 1e-5,
        squared: float = 1.0,
        other: float = 1.0,
        depth_noise: DepthNoise | None = None,
        recompute: bool = True,
        samples: tuple[int, ...] = (7, 7, 7, 2),
        neighbours: int = 5,
        margin: float = 0.1,
        front: str = "add",
        keep_latents: bool = True,
        shown: str | None = None,
        shown_every: int = 250,
        export_every: int = 500,
        seed: int = 0,
    ) -> None:
        super().__init__(export, export_every)
        begun = EpipolarVae.from_svd(
            _svd_folder(svd), samples=samples, neighbours=neighbours, margin=margin, front=front
        )
        self.network = begun if start_from is None else load_network(EpipolarVae, weights.resolve(start_from))
        self.network.requires_grad_(True)
        if recompute:
            self.network.enable_gradient_checkpointing()
        self.rate, self.squared, self.other, self.seed = rate, squared, other, seed
        self.depth_noise = depth_noise or DepthNoise()
        self.shown_every = shown_every
        # In tuples, for they neither learn nor belong in the checkpoints.
        self._difference = (PerceptualDifference(Path(vgg)) if vgg is not None else GradientDifference(),)
        self.latents = ViewLatents(svd, keep_latents)
        self._shown = None if shown is None else read_posed_object(Path(shown))
        self._plain = None if self._shown is None else self._decoded_plainly(begun, self._shown)
        self.network.train()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on everything."""
        return torch.optim.AdamW(self.network.parameters(), lr=self.rate)

    def on_fit_start(self) -> None:
        """Moves what is given to where the training runs."""
        self.latents.to(self.device)
        self._difference[0].to(self.device)

    def training_step(self, batch: PosedObject, batch_idx: int) -> Tensor:
        """How far the decoded views are from the true ones."""
        squared, other = self.losses(batch)
        loss = self.squared * squared + self.other * other
        name = "perceptual" if isinstance(self._difference[0], PerceptualDifference) else "gradient"
        self.log_dict({"loss": loss, "squared": squared, name: other}, prog_bar=True)
        return loss

    @torch.no_grad()
    def validation_step(self, batch: PosedObject, batch_idx: int) -> None:
        """PSNR of objects that are never learned from, with the same noise every time; the mean over all processes."""
        made = self.decoded(batch, step_random(self.seed, batch.number, 1)).float().clamp(-1, 1) / 2 + 0.5
        psnr = -10 * (made - batch.rgb).square().mean().clamp(min=1e-10).log10()
        self.log("val_psnr", psnr, prog_bar=True, sync_dist=True, batch_size=1)

    def losses(self, views: PosedObject) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The squared error, and the perceptual loss or what takes its place."""
        made = self.decoded(views, step_random(self.seed, views.number, 0)).float()
        truth = views.rgb * 2 - 1
        return (made - truth).square().mean(), self._difference[0](made, truth)

    def decoded(self, views: PosedObject, random: torch.Generator) -> Float[Tensor, "V 3 H W"]:
        """Images in [-1, 1], from true latents and wrong depth.

        Raises:
            StageMismatch: the views are not in ring order, or too few.
        """
        cameras = views.cameras()
        check_ring(cameras)
        depth = self.depth_noise(views.depth, random)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):  # bf16 would move points by pixels
            segments = self.network.segments(cameras, depth, cameras[0], generator=random)
        return self.network(self.latents(views), segments, photo_rgb=views.rgb[:1], photo_view=0)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Exports and shows now and then."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self._shown is not None and self.global_step % self.shown_every == 0 and self.trainer.is_global_zero:
            self.show(self._shown)

    @torch.no_grad()
    def show(self, views: PosedObject) -> None:
        """Writes rows of images: as Stable Video Diffusion decodes them, as this network does, and the truth."""
        ours = self.decoded(views.to(self.device), step_random(self.seed, 0, 0)).float().cpu() / 2 + 0.5
        assert self._plain is not None
        folder = self.export.with_name(f"{self.export.name}-pictures")
        folder.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(torch.cat([self._plain, ours, views.rgb]), columns=len(ours))
        sheet.save(folder / f"{self.global_step:06d}.png")

    def save_for_use(self) -> None:
        """Writes the network, from one process only."""
        if self.trainer.is_global_zero:
            self.network.save_pretrained(self.export)

    @torch.no_grad()
    def _decoded_plainly(self, begun: EpipolarVae, views: PosedObject) -> Float[Tensor, "V 3 H W"]:
        return begun.eval()(self.latents(views), None) / 2 + 0.5


def _svd_folder(source: str) -> Path:
    """The autoencoder of Stable Video Diffusion.

    Raises:
        WeightsNotFound: it is not here; the message has the commands that bring it.
    """
    try:
        return weights.resolve(source)
    except WeightsNotFound as error:
        raise WeightsNotFound(
            f"There is no autoencoder of Stable Video Diffusion at '{source}'.\n"
            "Get it (0.4 GB; its licence has to be accepted on its page first, then: hf auth login):\n"
            f"  hf download {_SVD} --include 'vae/config.json' 'vae/diffusion_pytorch_model.safetensors' "
            "--local-dir weights/svd\n"
            f"and add --model.svd weights/svd/vae; or have it fetched: --model.svd hub:{_SVD}/vae"
        ) from error
