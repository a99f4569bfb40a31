"""Views that read from the photo early on: mutual self-attention."""

from collections.abc import Sequence
from dataclasses import dataclass

from epimesh.diffusion.attention_control.controller import PHOTO, AttentionCall, ControlRun, Effect, Layers
from epimesh.diffusion.sampler import Pass
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class MutualSelfAttention:
    """Early on, every view reads keys and values of the photo's own branch instead of its own.

    The batch needs a row `Row(PHOTO, branch, photo)` for every branch and photo: a view from the photo's own camera.

    Args:
        window: times at which views read from the photo; later on this would copy it.
        layers: where; by default the decoder's layers of 32 x 32 and 16 x 16.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677), early-stage mutual self-attention: from 600 with Zero123-XL,
        from 700 with Zero-1-to-3.
    """

    window: Window = Window(600)
    layers: Layers = Layers(inside=("up_blocks",), resolutions=(32, 16))

    def start(self) -> "MutualRun":
        """A run, which has nothing to remember."""
        return MutualRun(self.window)


@dataclass
class MutualRun(ControlRun):
    """Finds the photo's rows."""

    window: Window

    def touches(self, moment: Pass) -> Effect:
        """Keys, within the window."""
        return "keys" if moment.time in self.window else "nothing"

    def sources(self, call: AttentionCall) -> Sequence[int]:
        """For every row the number of the photo's row of the same guidance branch."""
        found = {row: number for number, row in enumerate(call.rows)}
        sources = [found.get(row._replace(view=PHOTO)) for row in call.rows]
        missing = [row for row, source in zip(call.rows, sources, strict=True) if source is None]
        if missing:
            raise BadInput(
                f"Mutual self-attention at time {call.moment.time} found no row of the photo beside {missing[0]}.\n"
                "The batch needs a row for the photo's own view, Row(PHOTO, branch, photo). "
                "Switch mutual attention off for a model that makes no such view."
            )
        return [source for source in sources if source is not None]
