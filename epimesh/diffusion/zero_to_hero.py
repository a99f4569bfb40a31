"""Better views from a trained model, by filtering its attention over passes and by reading from the photo early on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.attention import PHOTO, ControlRun, Layers, Row, Site, Touch
from epimesh.diffusion.sampler import Pass
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput

Pool = Literal["min", "mean", "ema", "none"]
CACHED = 2**16
Map = Float[Tensor, "heads N M"]


@dataclass(frozen=True, kw_only=True)
class MapFilter:
    """Filters attention maps (the scores before the softmax) over the passes at one time and over times.

    It holds up to two maps per layer and row, and none outside its windows. Stable Diffusion's UNet at 32 x 32 latents
    has 44.7 million scores per row, so the two are 171 MiB per row in half precision.

    Args:
        pool: how the map is joined with the filtered ones of earlier passes at the same time.
        pool_fresh: share of the new map in the "ema" pool.
        pool_window: times at which to pool; it has an effect where resampling makes several passes.
        fresh: share of the (pooled) map, the rest being the history of earlier times. 1 keeps no history.
        renewal: share of the last filtered map in the new history.
        history_window: times at which history is kept and used.
        layers: where. Memory grows with the square of the tokens, so those above 32 x 32 are left out unless asked for.
        half: keep the maps in half precision.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677), attention map filtering; the two shares of the cross-step
        update are those of its appendix.
    """

    pool: Pool = "min"
    pool_fresh: float = 0.5
    pool_window: Window = Window(800)
    fresh: float = 0.2
    renewal: float = 0.5
    history_window: Window = Window(600)
    layers: Layers = Layers(max_tokens=1024)
    half: bool = True

    def __post_init__(self) -> None:
        for name in ("pool_fresh", "fresh", "renewal"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise BadInput(f"{name} is {share}; it is a share, from 0 (only the past) to 1 (only the present).")

    def start(self) -> "FilterRun":
        """A fresh memory."""
        return FilterRun(self)


@dataclass
class FilterRun(ControlRun):
    """The maps that one run remembers, by layer and row."""

    settings: MapFilter
    _pooled: dict[tuple[str, Row], Tensor] = field(default_factory=dict)
    _history: dict[tuple[str, Row], tuple[Row, Tensor]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of the maps held."""
        return sum(map_.nbytes for map_ in [*self._pooled.values(), *(map_ for _, map_ in self._history.values())])

    def begin(self, moment: Pass) -> None:
        """Forgets what belonged to an earlier time or a window that is over."""
        if moment.number == 1:
            self._pooled.clear()
        if not self._remembers(moment):
            self._history.clear()

    def touches(self, moment: Pass) -> Touch:
        """Scores, where there is something to pool, to blend or to keep."""
        first_time = not self._history and not moment.is_last
        return "scores" if self._pools(moment) or (self._remembers(moment) and not first_time) else "nothing"

    def scores(self, scores: Float[Tensor, "B heads N M"], site: Site) -> Float[Tensor, "B heads N M"]:
        """The filtered scores."""
        scores = scores.contiguous()
        for row, source, scores_of_row in zip(site.rows, site.sources, scores, strict=True):
            self._filter(scores_of_row, (site.layer, row), source, site.moment)
        return scores

    def history(self, layer: str, row: Row) -> Map | None:
        """What is remembered of earlier times."""
        _, map_ = self._history.get((layer, row), (row, None))
        return map_

    def _pools(self, moment: Pass) -> bool:
        return self.settings.pool != "none" and moment.passes > 1 and moment.time in self.settings.pool_window

    def _remembers(self, moment: Pass) -> bool:
        return self.settings.fresh < 1 and moment.time in self.settings.history_window

    def _filter(self, scores: Map, key: tuple[str, Row], source: Row, moment: Pass) -> None:
        pooled = self._pooled.get(key)
        remembered = self._history.get(key)
        # Columns are the tokens of the row that keys come from: another row's history means other pixels.
        history = remembered[1] if remembered is not None and remembered[0] == source else None
        for part, pooled_part, history_part in zip(_pieces(scores), _pieces(pooled), _pieces(history), strict=False):
            if pooled_part is not None:
                self._join(part, pooled_part, moment)
            if history_part is not None:
                self._blend(part, history_part, moment)
            if pooled_part is not None and not moment.is_last:
                self._add_to_pool(part, pooled_part)
        if pooled is None and self._pools(moment) and not moment.is_last:
            self._pooled[key] = self._kept(scores)
        if history is None and self._remembers(moment) and moment.is_last:
            self._history[key] = (source, self._kept(scores))

    def _join(self, scores: Tensor, pooled: Tensor, moment: Pass) -> None:
        if self.settings.pool == "min":
            torch.minimum(scores, pooled.to(scores.dtype), out=scores)
        elif self.settings.pool == "mean":
            scores.add_(pooled).div_(moment.number)
        else:
            scores.mul_(self.settings.pool_fresh).add_(pooled, alpha=1 - self.settings.pool_fresh)

    def _blend(self, scores: Tensor, history: Tensor, moment: Pass) -> None:
        before = history.to(scores.dtype)
        scores.mul_(self.settings.fresh).add_(before, alpha=1 - self.settings.fresh)
        if moment.is_last:
            history.copy_(before.lerp(scores, self.settings.renewal))

    def _add_to_pool(self, scores: Tensor, pooled: Tensor) -> None:
        if self.settings.pool == "min":
            # Not the filtered map alone: it may lie above the pool where history raised it.
            torch.minimum(pooled, scores.to(pooled.dtype), out=pooled)
        elif self.settings.pool == "mean":
            pooled.add_(scores)
        else:
            pooled.copy_(scores)

    def _kept(self, scores: Map) -> Map:
        halved = self.settings.half and scores.dtype in (torch.float32, torch.float64)
        return scores.detach().to(torch.float16 if halved else scores.dtype, copy=True)


def _pieces(map_: Map | None) -> Iterable[Tensor | None]:
    """The same parts of every map, in place. On a CPU they stay in its cache through all the arithmetic."""
    if map_ is None:
        return repeat(None)
    return map_.view(-1).split(CACHED if map_.device.type == "cpu" else map_.numel())


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

    def touches(self, moment: Pass) -> Touch:
        """Keys, within the window."""
        return "keys" if moment.time in self.window else "nothing"

    def sources(self, site: Site) -> Sequence[int]:
        """For every row the number of the photo's row of the same guidance branch."""
        found = {row: number for number, row in enumerate(site.rows)}
        sources = [found.get(row._replace(view=PHOTO)) for row in site.rows]
        missing = [row for row, source in zip(site.rows, sources, strict=True) if source is None]
        if missing:
            raise BadInput(
                f"Mutual self-attention at time {site.moment.time} found no row of the photo beside {missing[0]}.\n"
                "The batch needs a row for the photo's own view, Row(PHOTO, branch, photo). "
                "Switch mutual attention off for a model that makes no such view."
            )
        return [source for source in sources if source is not None]
