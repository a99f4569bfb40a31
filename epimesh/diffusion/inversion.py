"""From a clean signal to the noise that the deterministic sampler makes it of, and back under guidance.

DDIM inversion is exact only in the limit of many steps, and faithful only without guidance. Null-text inversion learns,
for every time, an unconditional embedding with which guided sampling runs along the same way.

Source: Song et al., "Denoising Diffusion Implicit Models" (2021); Mokady et al., "Null-text Inversion" (2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.sampler import Denoise
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput

NullDenoise = Callable[[Tensor, int, Tensor], Tensor]
"""Predicts noise from latents, a time, and an embedding that stands for no condition."""
RATE, RATE_DROP = 1e-2, 0.99  # of Adam at the noisiest time, and how much of it is left at the next
ENOUGH = 1e-5  # loss at which the embedding of a time is good enough


def moved(
    x: Float[Tensor, "B *shape"], noise: Float[Tensor, "B *shape"], kept: float, kept_next: float
) -> Float[Tensor, "B *shape"]:
    """The deterministic step between two noise levels, in either direction.

    Args:
        x: noisy, with the share `kept` of the signal's variance.
        noise: that is taken to be in it.
        kept: a, "alpha bar".
        kept_next: the same where it goes.
    """
    clean = (x - (1 - kept) ** 0.5 * noise) / kept**0.5
    return kept_next**0.5 * clean + (1 - kept_next) ** 0.5 * noise


@dataclass(frozen=True, eq=False)
class Pivot:
    """The way of a clean signal to its noise.

    Args:
        times: descending, as a sampler visits them.
        latents: what is at each of these times, then the clean signal.
        schedule: noise of every time.
    """

    times: tuple[int, ...]
    latents: Float[Tensor, "T1 B *shape"]
    schedule: NoiseSchedule

    @property
    def noisiest(self) -> Float[Tensor, "B *shape"]:
        """Where sampling begins."""
        return self.latents[0]

    def levels(self) -> list[tuple[int, float, float]]:
        """Every time, its share of signal, and that of where its step goes."""
        following = [*self.times[1:], None]
        at = self.schedule.alpha_cumprod_at
        return [(time, at(time), at(after)) for time, after in zip(self.times, following, strict=True)]


@torch.no_grad()
def inverted(
    denoise: Denoise, clean: Float[Tensor, "B *shape"], times: Sequence[int], schedule: NoiseSchedule
) -> Pivot:
    """Runs the sampler backwards, with the noise that is predicted where it stands.

    Args:
        denoise: predicts noise; without guidance, for guided ways do not come back.
        clean: where to begin.
        times: descending, as the sampler visits them.
        schedule: noise of every time.

    Raises:
        BadInput: the times do not descend, or there are none.
    """
    if not times or list(times) != sorted(set(times), reverse=True) or times[0] >= len(schedule):
        raise BadInput(
            f"The times to invert through are {list(times)[:8]}.\n"
            f"Expected at least one, descending, from below {len(schedule)}: what a sampler would visit."
        )
    way, kept = [clean], schedule.alpha_cumprod_at(None)
    for time in reversed(times):
        kept_next = schedule.alpha_cumprod_at(time)
        way.append(moved(way[-1], denoise(way[-1], time), kept, kept_next))
        kept = kept_next
    return Pivot(tuple(times), torch.stack(way[::-1]), schedule)


@torch.no_grad()
def resampled(pivot: Pivot, denoise: Denoise, first: int | None = None) -> Float[Tensor, "B *shape"]:
    """The clean signal that the sampler makes from a place on the way.

    Args:
        pivot: the way.
        denoise: predicts noise, guidance included.
        first: the time to leave the way at; None is the noisiest.

    Raises:
        BadInput: the way does not pass that time.
    """
    first = pivot.times[0] if first is None else first
    if first not in pivot.times:
        raise BadInput(f"There is no time {first} on the way, expected one of {list(pivot.times)}.")
    start = pivot.times.index(first)
    x = pivot.latents[start]
    for time, kept, kept_next in pivot.levels()[start:]:
        x = moved(x, denoise(x, time), kept, kept_next)
    return x


@dataclass(frozen=True, eq=False)
class NullText:
    """Embeddings of no condition that keep guided sampling on a pivot's way.

    Args:
        embeddings: one for each time.
        losses: mean squared distance to the way, before and after learning, for each time.
    """

    embeddings: Float[Tensor, "T *embedding"]
    losses: Float[Tensor, "T 2"]

    def resampled(
        self, pivot: Pivot, conditional: Denoise, unconditional: NullDenoise, guidance: float
    ) -> Float[Tensor, "B *shape"]:
        """The clean signal that guided sampling with these embeddings makes from the pivot's noisiest place."""
        embedding_at = dict(zip(pivot.times, self.embeddings, strict=True))

        def denoise(x: Tensor, time: int) -> Tensor:
            return _guided(conditional(x, time), unconditional(x, time, embedding_at[time]), guidance)

        return resampled(pivot, denoise)


def null_text(
    pivot: Pivot,
    conditional: Denoise,
    unconditional: NullDenoise,
    null: Float[Tensor, "*embedding"],
    *,
    guidance: float,
    iterations: int = 10,
) -> NullText:
    """Learns the embeddings. Guidance 1 does not use them, so it leaves them as they are.

    Args:
        pivot: the way to stay on.
        conditional: predicts noise.
        unconditional: predicts it with an embedding that can be learned.
        null: the embedding to begin with.
        guidance: of the sampling.
        iterations: at every time, at most.

    Raises:
        BadInput: there are no iterations.

    Source:
        Mokady et al., "Null-text Inversion" (2023), algorithm 1. Number and rate of the iterations are those of its
        code; of all that were tried at a time the best embedding is kept.
    """
    if iterations < 1:
        raise BadInput(f"iterations is {iterations}; expected at least 1 at every time, e.g. 10.")
    x, embedding, embeddings, losses = pivot.noisiest, null.detach().clone(), [], []
    for number, (time, kept, kept_next) in enumerate(pivot.levels()):
        with torch.no_grad():
            told = conditional(x, time)
        step = _Step(x, told, unconditional, guidance, time, kept, kept_next, pivot.latents[number + 1])
        embedding, loss = _best(step, embedding, RATE * RATE_DROP**number, 0 if guidance == 1 else iterations)
        with torch.no_grad():
            x = step.reached(embedding)
        embeddings.append(embedding)
        losses.append(loss)
    return NullText(torch.stack(embeddings), torch.tensor(losses))


class _Step(NamedTuple):
    """A guided step from where sampling stands."""

    x: Tensor
    told: Tensor
    unconditional: NullDenoise
    guidance: float
    time: int
    kept: float
    kept_next: float
    target: Tensor

    def reached(self, embedding: Tensor) -> Tensor:
        """Where it leads with this embedding."""
        noise = _guided(self.told, self.unconditional(self.x, self.time, embedding), self.guidance)
        return moved(self.x, noise, self.kept, self.kept_next)

    def loss(self, embedding: Tensor) -> Tensor:
        """How far that is from the way."""
        return (self.reached(embedding) - self.target).square().mean()


def _best(step: _Step, start: Tensor, rate: float, iterations: int) -> tuple[Tensor, tuple[float, float]]:
    """The best embedding that Adam passes, and the losses of the first and of that one."""
    candidate = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([candidate], lr=rate)
    best, found = start, list[float]()
    for iteration in range(iterations + 1):
        loss = step.loss(candidate)
        found.append(float(loss.detach()))
        if found[-1] == min(found):
            best = candidate.detach().clone()
        if found[-1] < ENOUGH or iteration == iterations:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best, (found[0], min(found))


def _guided(conditional: Tensor, unconditional: Tensor, guidance: float) -> Tensor:
    return conditional if guidance == 1 else unconditional + guidance * (conditional - unconditional)
