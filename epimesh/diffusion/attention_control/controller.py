"""Steers the self-attention of any diffusers model at sampling time, without touching its weights.

A control may say from which row of the batch every row reads its keys and values, and may edit the scores before the
softmax. The sampler tells where it is (`listen=controller.at`) and the caller which rows the model is given
(`controller.with_rows`); nothing is guessed from how often the model is called, so a batch may be cut up or reordered.
Where no control is at work, at this time or in this layer, the model's own attention runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from threading import get_ident
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.sampler import Denoise, Pass
from epimesh.errors import BadInput

PHOTO = -1
Effect = Literal["nothing", "keys", "scores"]


class Row(NamedTuple):
    """Who a row of the batch is. Rows that differ in anything share no memory.

    Args:
        view: number of the view, or `PHOTO` for the branch that makes the photo's own view.
        branch: of classifier-free guidance.
        photo: number of the photo, where several are worked on at once.
    """

    view: int
    branch: str = "conditional"
    photo: int = 0


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Which self-attention layers.

    Args:
        inside: parts of the names of layers, e.g. "up_blocks"; none means all.
        resolutions: sides of the layers' square feature maps; none means all.
        max_tokens: no layers with more tokens; null means no limit.
    """

    inside: tuple[str, ...] = ()
    resolutions: tuple[int, ...] = ()
    max_tokens: int | None = None

    def named(self, name: str) -> bool:
        """Whether the layer of this name may be one of them, whatever its size."""
        return not self.inside or any(part in name for part in self.inside)

    def have(self, name: str, tokens: int) -> bool:
        """Whether the layer of this name is one of them when it has so many tokens."""
        sized = not self.resolutions or (isqrt(tokens) in self.resolutions and isqrt(tokens) ** 2 == tokens)
        return self.named(name) and sized and (self.max_tokens is None or tokens <= self.max_tokens)


@dataclass(frozen=True)
class AttentionCall:
    """Where a control is at work: the layer, the pass, whose rows these are and whose keys they read."""

    layer: str
    moment: Pass
    rows: tuple[Row, ...]
    sources: tuple[Row, ...]


class ControlRun:
    """What a control does in one run, and remembers from it. Override what it changes; the defaults change nothing."""

    @property
    def nbytes(self) -> int:
        """Memory held at the moment."""
        return 0

    def begin(self, moment: Pass) -> None:
        """Hears of every pass before it happens."""

    def touches(self, moment: Pass) -> Effect:
        """What changes in this pass. Explicit scores cost O(tokens^2) memory, so they are only built for "scores"."""
        return "nothing"

    def sources(self, call: AttentionCall) -> Sequence[int]:
        """For every row the number of the row whose keys and values it reads."""
        return range(len(call.rows))

    def scores(self, scores: Float[Tensor, "B heads N M"], call: AttentionCall) -> Float[Tensor, "B heads N M"]:
        """The scores to use instead; `scores` may be overwritten."""
        return scores


@runtime_checkable
class AttentionControl(Protocol):
    """The settings of a control."""

    @property
    def layers(self) -> Layers:
        """Where it may be at work."""
        ...

    def start(self) -> ControlRun:
        """A fresh memory for a run."""
        ...


class AttentionController:
    """One run of a model under controls, as `controlled` yields it."""

    def __init__(self, controls: Sequence[AttentionControl]) -> None:
        self.peak_bytes = 0
        self._runs = [(control, control.start()) for control in controls]
        self._moment: Pass | None = None
        self._rows: tuple[Row, ...] | None = None
        self._seen: dict[str, int] = {}
        self._thread = get_ident()

    @property
    def nbytes(self) -> int:
        """Memory that the controls hold at the moment."""
        return sum(run.nbytes for _, run in self._runs)

    def at(self, moment: Pass) -> None:
        """Hears from the sampler, before every pass, where it is.

        Raises:
            BadInput: the pass before showed that a control has no layer to work in.
        """
        self.review()
        self._moment = moment
        for _, run in self._runs:
            run.begin(moment)

    def forget(self) -> None:
        """Ends the run: nothing is remembered any more."""
        self._runs.clear()

    def with_rows(self, denoise: Denoise, rows: Sequence[Row]) -> Denoise:
        """`denoise`, during which the batches that attention sees consist of `rows`.

        Rows are those of the attention, in order: one per view, or one per sample where views attend jointly.
        """
        mine = tuple(rows)
        if len(set(mine)) != len(mine):
            raise BadInput(
                f"Of the rows {_listed(mine)} two are the same.\nGive every row a view, branch or photo of its own."
            )

        def under_these(x: Tensor, time: int) -> Tensor:
            before, self._rows = self._rows, mine
            try:
                return denoise(x, time)
            finally:
                self._rows = before

        return under_these

    def touching(self, layer: str, tokens: int) -> list[tuple[Effect, ControlRun]]:
        """What is at work in a layer now."""
        if get_ident() != self._thread:
            return []  # Another thread that uses the same model is not part of this run.
        self._seen[layer] = tokens
        if self._moment is None:
            raise BadInput(
                "The model was called under controls before the sampler said where it is.\n"
                "Pass listen=controller.at to the sampler, or call controller.at(Pass(time)) before the model."
            )
        found = [(run.touches(self._moment), run) for control, run in self._runs if control.layers.have(layer, tokens)]
        return [(touch, run) for touch, run in found if touch != "nothing"]

    def call(self, layer: str, batch: int) -> AttentionCall:
        """The present whereabouts of a layer that is given a batch of this size."""
        if self._rows is None or self._moment is None or len(self._rows) != batch:
            told = "no rows were told" if self._rows is None else f"{len(self._rows)} rows were told"
            raise BadInput(
                f"{layer} attends in a batch of {batch} rows, but {told}.\n"
                "Wrap the denoiser: controller.with_rows(denoise, rows), with a Row for each row of its batch."
            )
        return AttentionCall(layer, self._moment, self._rows, self._rows)

    def review(self) -> None:
        """Notes the memory held, and checks that every control had a layer to work in.

        Raises:
            BadInput: one had none.
        """
        self.peak_bytes = max(self.peak_bytes, self.nbytes)
        for control, _ in self._runs:
            if self._seen and not any(control.layers.have(*layer) for layer in self._seen.items()):
                sizes = sorted(set(self._seen.values()), reverse=True)
                raise BadInput(
                    f"{type(control).__name__} has no layer to work in: {control.layers} fits none of the "
                    f"{len(self._seen)} self-attention layers, whose tokens number {', '.join(map(str, sizes))} "
                    f"(resolution {', '.join(f'{size**0.5:g}' for size in sizes)}).\nChoose from these."
                )


def _listed(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row.branch}/photo {row.photo}/view {row.view}" for row in rows)
