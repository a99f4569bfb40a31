"""Trains the refiner of Cascade-Zero123 at its published size, prompted by a lagging average of itself."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.errors import BadInput
from epimesh.stages.cascade.stage import CoarsePose, Nearby
from epimesh.training.base import ExponentialMovingAverage, Exporting
from epimesh.training.cascade.prompt_cache import PromptCache, Prompted
from epimesh.training.cascade.prompts import Kept, SelfPrompts, kept_conditions
from epimesh.training.common.ema_teacher import EmaTeacher
from epimesh.training.data.pack_data import network_pictures
from epimesh.training.data.view_pairs import ViewPairs
from epimesh.training.syncdreamer.training import step_random, warmed_up
from epimesh.training.zero123.frozen_parts import Sight, Zero123Network
from epimesh.weights.loading import part


class CascadeZero123Training(Exporting):
    """Learns to make a view from the photo and from views that its own base imagined before.

    UNet and token learn; autoencoder and CLIP stay as they are. The base is the refiner's average, one update behind,
    and imagines the prompts of every batch without a gradient. The random numbers of a step follow from seed, step and
    process alone, so that a training that was stopped goes on as if it had not been; where `refresh` keeps prompts,
    this is so for the first process, and the others make theirs anew.

    With `nearby` empty and `coarse_target` false there are no prompts, and this is the training of Zero-1-to-3.

    Args:
        export: folder that is written at the end, for the stage `CascadeZero123`: the averaged weights. Its base, a
            `Zero123`, takes the same folder.
        zero123: converted weights of Zero-1-to-3 to begin with.
        start_from: exported weights to go on from; null begins with `zero123`.
        nearby: where prompts are taken from, as turns from the photo's camera.
        coarse_target: prompt with the base's attempt at the target, too.
        coarse_pose: what that token says of its pose: "zeros", as in the paper, or "identity" (no turn).
        rate: learning rate of the UNet.
        token_rate: learning rate of the token.
        warm_up: steps over which the rates climb from a fiftieth; they stay afterwards.
        drop: p, for guidance: of all photos 2 p lose what CLIP sees in all their pictures and 2 p the photo's latents,
            p both. Poses stay. The published code leaves nearby pictures in, so it never learns to do without them.
        decay: of the average that the base follows, and that is exported; 1 keeps both as they began, 0 makes the base
            the refiner of the step before.
        base_steps: denoising steps of the prompts; has to divide 1000.
        base_guidance: classifier-free guidance of the prompts.
        base_batch: how many views are encoded, imagined or decoded at once; lower it to save memory.
        refresh: steps of the optimiser that learn from the same photos and prompts, with other times and noise. 1 is
            the paper. With 3 nearby views prompts take 200 evaluations of the UNet per photo, so 1 is slow.
        recompute: compute the UNet's layers again on the way back instead of keeping what they held.
        export_every: steps between exports, so that an interrupted training leaves something usable.
        seed: of times, noise, and choices.

    Source:
        Chen et al., "Cascade-Zero123" (arXiv:2312.04424), and its published training code: AdamW, 1e-4, ten times that
        for the token, 100 steps of warm-up. That code begins with Stable Diffusion's image variations.

    Raises:
        BadInput: a setting makes no sense.
        WeightsNotFound: there are no weights to begin with.
        BadWeights: they are not those of a Zero-1-to-3.
    """

    def __init__(
        self,
        export: str,
        zero123: str = "published:zero123-xl",
        start_from: str | None = None,
        nearby: tuple[Nearby, ...] = SelfPrompts.nearby,
        coarse_target: bool = True,
        coarse_pose: CoarsePose = "zeros",
        rate: float = 1e-4,
        token_rate: float = 1e-3,
        warm_up: int = 100,
        drop: float = 0.05,
        decay: float = 0.9999,
        base_steps: int = 25,
        base_guidance: float = 3.0,
        base_batch: int = 64,
        refresh: int = 1,
        recompute: bool = True,
        export_every: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(export, export_every)
        if not (0 <= drop <= 1 / 3 and 0 <= decay <= 1):
            raise BadInput(f"drop is {drop} and decay {decay}; expected drop from 0 to 1/3, and decay from 0 to 1.")
        self.prompts = SelfPrompts(
            nearby, coarse_target, coarse_pose, steps=base_steps, guidance=base_guidance, batch=base_batch
        )
        self.cache = PromptCache(refresh)
        self.rate, self.token_rate, self.warm_up = rate, token_rate, warm_up
        self.drop, self.seed = drop, seed
        self.source = start_from or zero123
        self.network = Zero123Network.load(self.source).train().requires_grad_(True)
        if recompute:
            self.network.unet.enable_gradient_checkpointing()
        self.averaged, self.base = ExponentialMovingAverage(self.network, decay), EmaTeacher(self.network)
        self.schedule = load_eps_schedule(part(self.source, "scheduler"))
        self.sight = Sight(self.source, base_batch)
        self._random: tuple[int, torch.Generator] | None = None

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[dict[str, Any]]]:
        """AdamW with two rates that climb together."""
        groups = [
            {"params": list(self.network.unet.parameters()), "lr": self.rate},
            {"params": list(self.network.token.parameters()), "lr": self.token_rate},
        ]
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=0.01)
        climb = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmed_up(step, self.warm_up))
        return [optimizer], [{"scheduler": climb, "interval": "step"}]

    def on_fit_start(self) -> None:
        """Moves what does not learn to where the training runs."""
        self.sight.to(self.device)
        self.base.network.to(self.device)

    def training_step(self, batch: ViewPairs, batch_idx: int) -> Tensor:
        """The squared error of the target's noise."""
        random = self._step_random()
        prompted = self.cache.next(self.base.version, lambda: self.prompted(batch, random))
        loss = self.loss(Prompted(*(tensor.to(self.device) for tensor in prompted)), random)
        self.log("loss", loss, prog_bar=True)
        return loss

    @torch.no_grad()
    def prompted(self, batch: ViewPairs, random: torch.Generator) -> Prompted:
        """A batch with what the base, as it is now, imagines for it."""
        pictures = [network_pictures(rgba, self.network.image_size) for rgba in (batch.photo, batch.target)]
        photo, target = (self.sight.posterior(some) for some in pictures)
        own = self.sight.embedded(pictures[0])
        embeddings = [own[:, None]]
        if len(self.prompts) > 0:
            poses = self.prompts.asked(batch)
            noise = torch.randn((*poses.shape[:2], *photo.mean.shape[1:]), generator=random).to(own)
            made = self.prompts.imagined(self.base.network, photo.mode(), own, poses, noise, self.schedule)
            seen = self.sight.embedded(self.sight.pictures(made.flatten(0, 1)))
            embeddings.append(seen.unflatten(0, poses.shape[:2]))
        told = self.prompts.told(batch)
        return Prompted(photo.mode(), target.mean, target.std, torch.cat(embeddings, dim=1), told)

    def loss(self, given: Prompted, random: torch.Generator) -> Float[Tensor, ""]:
        """The squared error of the noise, at one time for every target."""
        with torch.no_grad():
            spread = torch.randn(given.target_mean.shape, generator=random).to(given.target_mean)
            clean = (given.target_mean + given.target_deviation * spread) * self.sight.scaling
            times = torch.randint(len(self.schedule), (len(clean),), generator=random).to(clean.device)
            noise = torch.randn(clean.shape, generator=random).to(clean)
            kept = kept_conditions(torch.rand(len(clean), generator=random), self.drop)
            noisy = self.schedule.add_noise(clean, noise, times)
        return (self.predicted(noisy, times, given, kept).float() - noise).square().mean()

    def predicted(
        self, noisy: Float[Tensor, "B C h w"], times: Int[Tensor, "B"], given: Prompted, kept: Kept
    ) -> Float[Tensor, "B C h w"]:
        """The refiner's noise, from what every photo keeps of its conditions."""
        rows = Kept(*(part.to(noisy.device) for part in kept))
        embeddings = given.embeddings * rows.tokens[:, None, None]
        tokens = self.network.token(embeddings.flatten(0, 1), given.poses.flatten(0, 1))
        channels = given.photo * rows.channels[:, None, None, None]
        tokens = tokens.unflatten(0, given.poses.shape[:2])[:, :, 0]
        return self.network.unet(torch.cat([noisy, channels], dim=1), times, tokens, return_dict=False)[0]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Takes the step; then the base follows the average, and the average the refiner."""
        super().optimizer_step(*args, **kwargs)
        self.base.after_step(self.averaged, self.network)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Exports now and then, and no more than once a step where several batches make one."""
        if (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(outputs, batch, batch_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the average, the base, which is one update behind, and prompts that are still learned from."""
        checkpoint["averaged"] = self.averaged.state()
        checkpoint["base"] = self.base.state()
        checkpoint["prompts"] = self.cache.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on where the checkpoint was."""
        self.averaged.restore(checkpoint["averaged"])
        self.base.restore(checkpoint["base"])
        if self.global_rank == 0:  # whose prompts they are
            self.cache.restore(checkpoint["prompts"])

    def save_for_use(self) -> None:
        """Writes all parts that the stage needs, from one process only."""
        if not self.trainer.is_global_zero:
            return
        with self.averaged.within(self.network):
            self.network.export(self.export, self.source)

    def _step_random(self) -> torch.Generator:
        """The random numbers of this step; batches that make one step together take turns."""
        if self._random is None or self._random[0] != self.global_step:
            self._random = self.global_step, step_random(self.seed, self.global_step, self.global_rank)
        return self._random[1]
