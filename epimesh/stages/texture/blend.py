"""Joins what all images say about a surface into one colour per texel."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.stages.texture.atlas import Texels
from epimesh.stages.texture.exposure import gains
from epimesh.stages.texture.view_projector import ProjectedColor, ViewProjector

_COARSE_POWER = 1.5  # of the trust: brightness and tint are a broad mean, so no seam shows
_FINE_POWER = 5.0  # details come nearly from the best image alone, so they stay sharp where images disagree
_PHOTO_RULES = 0.5  # trust from which on the photo alone is used
_SAMPLE = 20_000  # texels at which exposures are compared


def blended(
    witnesses: Sequence[ViewProjector], texels: Texels, *, match_exposure: bool
) -> tuple[Float[Tensor, "T 3"], Float[Tensor, "T"]]:
    """Colours at all texels, and the trust of the image that sees each best (0: no image does).

    The photo is the truth: where it looks squarely enough its colour stands alone, and fades into the mean of the other
    images towards its edges. Among those, coarse colours are a broad mean and details come from the best.
    """
    factors = torch.ones(len(witnesses), 3)
    if match_exposure and len(witnesses) > 1:
        sample = texels.every(max(1, len(texels) // _SAMPLE))
        asked = [(witness.about(sample), witness.is_photo) for witness in witnesses]
        fixed = next((i for i, (_, is_photo) in enumerate(asked) if is_photo), None)
        factors = gains([statement for statement, _ in asked], fixed)

    mean = _Mean(len(texels))
    best = torch.zeros(len(texels))
    photos: list[ProjectedColor] = []
    for witness, factor in zip(witnesses, factors, strict=True):
        statement = witness.about(texels)
        best = torch.maximum(best, statement.trust)
        if witness.is_photo:
            photos.append(statement)
        else:
            mean.add(statement, factor)
    color = mean.color()
    for photo in photos:
        share = (photo.trust / _PHOTO_RULES).clamp(0, 1)
        share = torch.where(mean.unknown & (photo.trust > 0), 1.0, share * share * (3 - 2 * share))[:, None]
        color = color + share * (photo.coarse + photo.fine - color)
    return color.clamp(0, 1), best


class _Mean:
    """Running weighted means of coarse colours and of details."""

    def __init__(self, count: int) -> None:
        self._coarse, self._fine = torch.zeros(count, 4), torch.zeros(count, 4)

    def add(self, statement: ProjectedColor, factor: Float[Tensor, "3"]) -> None:
        seen = torch.nonzero(statement.trust)[:, 0]
        trust = statement.trust[seen, None].double()
        one = torch.ones(len(seen), 1)
        for sums, part, power in (
            (self._coarse, statement.coarse, _COARSE_POWER),
            (self._fine, statement.fine, _FINE_POWER),
        ):
            weight = (trust**power).float()
            sums[seen] += torch.cat([part[seen] * factor, one], dim=1) * weight

    @property
    def unknown(self) -> Tensor:
        """True where nothing has been added."""
        return self._coarse[:, 3] == 0

    def color(self) -> Float[Tensor, "T 3"]:
        coarse, fine = (sums[:, :3] / sums[:, 3:].clamp_min(1e-30) for sums in (self._coarse, self._fine))
        return coarse + fine
