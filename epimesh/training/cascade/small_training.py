"""Trains the refiner of a small cascade: it learns from views that its own slow copy makes of the photo."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from epimesh.cameras import RING, Cameras
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps
from epimesh.errors import BadInput
from epimesh.stages.cascade.prompted_conditioner import PromptedConditioner, with_prompts
from epimesh.stages.cascade.small_stage import NEARBY, prompt_poses
from epimesh.stages.shared.latent_conditioner import Prompts, ViewCondition
from epimesh.stages.shared.prior_guided import TIMES
from epimesh.stages.zero123.small_network import load_view_denoiser, small_scheduler
from epimesh.training.base import Training
from epimesh.training.common.ema_teacher import EmaTeacher
from epimesh.training.data.latents import RingLatents
from epimesh.training.data.ring_batches import RingViews
from epimesh.training.zero123.small_training import FoldPriors, ring_request

PromptSource = Literal["base", "truth"]


class SmallCascadeZero123Training(Training):
    """Learns to denoise ring views from one photo and from other views of the object that the base makes of it.

    The base is the network itself: its averaged weights, one step behind, asked without prompts. Every step it makes
    the nearby views and an attempt at each wanted view, without a gradient.

    Args:
        export: folder that the averaged network is saved to.
        views: weights of the small view denoiser to begin with.
        autoencoder: weights of the autoencoder whose latents are denoised.
        priors: weights of two coarse priors, the first trained without fold 0 and the second without fold 1: each
            object gets the guess of the one that never saw it. Empty trains without a prior.
        start_from: exported weights of a refiner to go on from instead; null begins with `views`.
        nearby: numbers of the ring views that prompt, from 0 on the photo's side in steps of 22.5 degrees.
        coarse_target: prompt with the base's attempt at each wanted view, too.
        prompts: "base", or "truth" for an upper bound: true nearby views. Attempts are the base's in either case.
        base_steps: denoising steps of the base.
        base_start: time that the base begins at, from the coarse guess; 1000 is pure noise.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate; what encodes the poses of prompts is new and learns ten times as fast.
        views_per_step: how many views of each object are supervised.
        alone: share of the steps without prompts, so that the base, which gets none, stays good. The published training
            has none.
        drop: share of the views that lose all conditions, for guidance.
        photo_noise: deviation of the noise on the photo's latents.
        prior_noise: deviation of the noise on the prior's latents.
        export_every: steps between exports, so that an interrupted training leaves something usable.

    Raises:
        BadInput: a setting cannot work.

    Source:
        Chen et al., "Cascade-Zero123" (arXiv:2312.04424): self-distillation from a moving average.
    """

    def __init__(
        self,
        export: str,
        views: str = "bundled:syncdreamer-small",
        autoencoder: str = "bundled:patch-vae",
        priors: list[str] | None = None,
        start_from: str | None = None,
        nearby: Sequence[int] = NEARBY,
        coarse_target: bool = True,
        prompts: PromptSource = "base",
        base_steps: int = 2,
        base_start: int = 500,
        minutes: float = 60,
        rate: float = 1e-4,
        views_per_step: int = 4,
        alone: float = 0.1,
        drop: float = 0.08,
        photo_noise: float = 0.05,
        prior_noise: float = 0.05,
        export_every: int = 200,
    ) -> None:
        if not 1 <= views_per_step <= RING or not set(nearby) <= set(range(RING)):
            raise BadInput(
                f"views_per_step is {views_per_step} and nearby {list(nearby)}.\n"
                f"Expected 1 to {RING} views, and numbers of ring views from 0 to {RING - 1}."
            )
        network = (
            load_view_denoiser(start_from, PromptedConditioner).network
            if start_from
            else with_prompts(load_view_denoiser(views).network, len(nearby) + coarse_target)
        )
        if base_start > network.largest_time or (base_start < TIMES and not priors):
            raise BadInput(
                f"base_start is {base_start}; the weights know noise up to {network.largest_time}, and without priors "
                f"there is no guess to begin from.\nUse {network.largest_time}, or less and priors."
            )
        super().__init__(
            network.train().requires_grad_(True),
            export=export,
            minutes=minutes,
            rate=rate,
            decay=0.9995,
            export_every=export_every,
        )
        self.base = EmaTeacher(self.network)
        self.autoencoder = load_autoencoder(autoencoder)
        self.prior = FoldPriors(priors) if priors else None
        self.schedule = NoiseSchedule.scaled_linear()
        self.nearby, self.coarse_target, self.prompts = tuple(nearby), coarse_target, prompts
        self.times, self.base_start = uniform_timesteps(base_steps, base_start), base_start
        self.views_per_step, self.alone, self.drop = views_per_step, alone, drop
        self.photo_noise, self.prior_noise = photo_noise, prior_noise

    def shares(self) -> list[tuple[float, Iterable[nn.Parameter]]]:
        """The new part learns faster."""
        new = self.network.conditioner.prompt_pose
        known = set(new.parameters())
        return [(1.0, [one for one in self.network.parameters() if one not in known]), (10.0, new.parameters())]

    def on_fit_start(self) -> None:
        """Moves the base to where the training runs."""
        self.base.network.to(self.device)

    def after_step(self) -> None:
        """The base gets the average, and then the average moves."""
        self.base.after_step(self.averaged, self.network)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the base, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["base"] = self.base.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on where the checkpoint was."""
        super().on_load_checkpoint(checkpoint)
        self.base.restore(checkpoint["base"])

    def write_export(self, folder: Path) -> None:
        """Writes unet, conditioner and schedule."""
        self.network.save(folder, small_scheduler())

    def training_step(self, batch: RingViews | RingLatents, batch_idx: int) -> Tensor:
        """The squared error of the velocity of the chosen views."""
        with torch.no_grad():
            autoencoder = self.autoencoder.to(str(self.device), torch.float32)
            rings = batch if isinstance(batch, RingLatents) else RingLatents.of(batch, autoencoder)
            objects = len(rings.fold)
            chosen = torch.rand(objects, RING, device=self.device).argsort(dim=1)[:, : self.views_per_step]
            request, target = self.asked(rings, chosen)
            times = torch.randint(self.network.largest_time, (len(target),), device=self.device)
            noise = torch.randn_like(target)
            noisy = self.schedule.add_noise(target, noise, times)
            keep = torch.rand(len(target), device=self.device) >= self.drop
        predicted = self.network(noisy, times, request, keep)
        loss = (predicted.float() - self.schedule.velocity(target, noise, times)).square().mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def asked(self, rings: RingLatents, chosen: Int[Tensor, "B n"]) -> tuple[ViewCondition, Float[Tensor, "R C h w"]]:
        """What is asked for, the chosen views of every object, with prompts or all of them alone; and the truth."""
        ring = ring_request(rings, self.prior, self.photo_noise, self.prior_noise)
        rows = (torch.arange(len(chosen), device=self.device)[:, None] * RING + chosen).flatten()
        target, wanted = rings.ring.flatten(0, 1)[rows], ring[rows.tolist()]
        if not (self.nearby or self.coarse_target) or float(torch.rand(())) < self.alone:
            return wanted, target
        return replace(wanted, prompts=self._prompts(rings, ring, chosen)), target

    def _prompts(self, rings: RingLatents, asked: ViewCondition, chosen: Int[Tensor, "B n"]) -> Prompts:
        made = self._made(asked, chosen)
        shown = made if self.prompts == "base" else rings.ring
        latents = shown[:, list(self.nearby)].repeat_interleave(chosen.shape[1], dim=0)
        if self.coarse_target:
            attempts = torch.cat([ring[views] for ring, views in zip(made, chosen, strict=True)])
            latents = torch.cat([latents, attempts[:, None]], dim=1)
        poses = prompt_poses(self.nearby, self.coarse_target, Cameras.ring(RING, size=8))
        return Prompts(latents, poses.to(latents)[chosen.flatten()])

    def _made(self, asked: ViewCondition, chosen: Int[Tensor, "B n"]) -> Float[Tensor, "B 16 C h w"]:
        """What the base makes of the photo; views that nobody needs stay zero."""
        needed = torch.zeros(len(chosen), RING, dtype=torch.bool, device=self.device)
        if self.prompts == "base":
            needed[:, list(self.nearby)] = True
        if self.coarse_target:
            needed.scatter_(1, chosen, True)
        rows = torch.nonzero(needed.flatten())[:, 0]
        wanted, base = asked[rows.tolist()], self.base.network

        def predict(noisy: Tensor, time: int) -> Tensor:
            times = torch.full((len(noisy),), time, device=noisy.device)
            return base(noisy, times, wanted).float()

        sampler = Ddim(schedule=self.schedule, timesteps=self.times, prediction="v", eta=0.0)
        start = wanted.prior if self.base_start < TIMES else None
        made = torch.zeros_like(asked.prior)
        if len(rows):
            made[rows] = sampler(predict, torch.randn_like(wanted.prior), start=start)
        return made.unflatten(0, (-1, RING))
