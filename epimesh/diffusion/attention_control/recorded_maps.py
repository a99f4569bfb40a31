"""A diagnostic: attention maps recorded in one pass and put in place of those of another.

With maps recorded from the true view, sampling shows what perfect attention would be worth. It is an upper bound, for
such maps know the side that the photo does not show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.attention_control.controller import (
    AttentionCall,
    AttentionControl,
    ControlRun,
    Effect,
    Layers,
    Row,
)
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.sampler import Denoise, Pass
from epimesh.diffusion.schedules import NoiseSchedule, Window
from epimesh.errors import BadInput

Maps = dict[tuple[str, Row], Float[Tensor, "heads N M"]]
EVERYWHERE = Window(0, 10**9)
NEARLY_CLEAN = 5
ALL = Layers()


@dataclass(frozen=True, kw_only=True)
class RecordMaps:
    """Keeps a copy of every map it sees, changing none; of several passes the last one stays.

    Args:
        maps: where they go, by layer and row, in the model's precision.
        layers: which to record.
    """

    maps: Maps = field(default_factory=dict)
    layers: Layers = ALL

    def start(self) -> ControlRun:
        """A run that adds to `maps`."""
        return _Recording(self.maps)


@dataclass(frozen=True, kw_only=True)
class OracleMaps:
    """Uses recorded maps instead of the model's own.

    Args:
        maps: as `RecordMaps` made them; every row and layer has to be there.
        window: times at which to use them.
        layers: where.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677), the experiment with ground-truth maps.
    """

    maps: Maps
    window: Window = EVERYWHERE
    layers: Layers = ALL

    def start(self) -> ControlRun:
        """A run that reads `maps`."""
        return _Replaying(self.maps, self.window)


@dataclass
class _Recording(ControlRun):
    maps: Maps

    def touches(self, moment: Pass) -> Effect:
        return "scores"

    def scores(self, scores: Float[Tensor, "B heads N M"], call: AttentionCall) -> Float[Tensor, "B heads N M"]:
        self.maps.update(
            {(call.layer, row): map_.detach().clone() for row, map_ in zip(call.rows, scores, strict=True)}
        )
        return scores


@dataclass
class _Replaying(ControlRun):
    maps: Maps
    window: Window

    def touches(self, moment: Pass) -> Effect:
        return "scores" if moment.time in self.window else "nothing"

    def scores(self, scores: Float[Tensor, "B heads N M"], call: AttentionCall) -> Float[Tensor, "B heads N M"]:
        for row, mine in zip(call.rows, scores, strict=True):
            recorded = self.maps.get((call.layer, row))
            if recorded is None or recorded.shape != mine.shape:
                what = "is no map" if recorded is None else f"is a map of shape {tuple(recorded.shape)}"
                raise BadInput(
                    f"Among the recorded maps there {what} of {call.layer} for {row}; it needs {tuple(mine.shape)}.\n"
                    "Record with the same model, resolution and rows, in the same layers."
                )
            mine.copy_(recorded)
        return scores


def true_maps(
    model: torch.nn.Module,
    predictors: Sequence[tuple[Denoise, Sequence[Row]]],
    true_latents: Float[Tensor, "B *shape"],
    schedule: NoiseSchedule,
    *,
    noise: Float[Tensor, "B *shape"],
    time: int = NEARLY_CLEAN,
    layers: Layers = ALL,
) -> Maps:
    """The maps of one pass over the true views with hardly any noise.

    Args:
        model: the network that the predictors call.
        predictors: of every guidance branch, with the rows of its batch.
        true_latents: of the true views.
        schedule: how much noise `time` means.
        noise: standard normal.
        time: of the pass; the paper's is 5 of 1000.
        layers: which to record.
    """
    record = RecordMaps(layers=layers)
    noisy = schedule.add_noise(true_latents, noise, torch.full((len(true_latents),), time))
    controls: list[AttentionControl] = [record]
    with controlled(model, controls) as controller:
        controller.at(Pass(time))
        for denoise, rows in predictors:
            controller.with_rows(denoise, rows)(noisy, time)
    return record.maps
