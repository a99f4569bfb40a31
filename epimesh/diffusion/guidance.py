"""Classifier-free guidance as a wrapper of a denoiser, and guidance in several directions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import Tensor

from epimesh.diffusion.sampler import Denoise
from epimesh.errors import BadInput


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """A denoiser that goes `scale` times as far from the unconditional prediction as the conditional one does.

    Scale 1 is the conditional denoiser itself: one call per step, and bitwise the same result.

    Source:
        Ho & Salimans, "Classifier-Free Diffusion Guidance" (2022), equation 6 with scale = 1 + w.
    """
    if scale == 1:
        return conditional

    def denoise(x: Tensor, time: int) -> Tensor:
        without = unconditional(x, time)
        return without + scale * (conditional(x, time) - without)

    return denoise


@dataclass(frozen=True)
class Branch:
    """One prediction of a network whose conditions come in groups.

    Args:
        dropped: the groups that are replaced by zeros.
        gains: factors on groups that are kept.
    """

    dropped: frozenset[str] = frozenset()
    gains: tuple[tuple[str, float], ...] = ()

    def factor(self, group: str) -> float:
        """What the group is multiplied by."""
        return 0.0 if group in self.dropped else dict(self.gains).get(group, 1.0)


@dataclass(frozen=True)
class Term:
    """One direction of guidance: away from the prediction of a branch, so many times as far.

    Args:
        branch: the prediction with less conditions.
        scale: how far; 0 turns the term off.
    """

    branch: Branch
    scale: float


@dataclass(frozen=True)
class DecomposedGuidance:
    """Guidance in several directions at once: full + sum of scale x (full - branch).

    One term that drops everything, with scale s - 1, is classifier-free guidance of scale s.

    Args:
        terms: the directions.

    Source:
        Woo et al., "HarmonyView" (arXiv:2312.15980), equation 7: scales 2 (photo) and 1 (volume).
    """

    terms: tuple[Term, ...] = ()

    @property
    def branches(self) -> list[Branch]:
        """What the network has to predict: everything given first, then a branch for every term that is on."""
        return [Branch(), *(term.branch for term in self._active)]

    def combined(self, predictions: Sequence[Tensor]) -> Tensor:
        """The guided prediction from those of all `branches`, in their order."""
        full = predictions[0]
        guided = full
        for term, without in zip(self._active, predictions[1:], strict=True):
            guided = guided + term.scale * (full - without)
        return guided

    def check(self, groups: Collection[str]) -> None:
        """Refuses terms about conditions that a model does not have.

        Raises:
            BadInput: a term drops or scales a group that is not among `groups`.
        """
        for term in self.terms:
            named = term.branch.dropped | {name for name, _ in term.branch.gains}
            if not named <= set(groups):
                raise BadInput(
                    f"Guidance is asked about {sorted(named - set(groups))}, which this model is not given.\n"
                    f"Its groups of conditions are: {', '.join(sorted(groups))}."
                )

    @property
    def _active(self) -> list[Term]:
        return [term for term in self.terms if term.scale != 0]
