"""Better views from a trained model, by filtering its attention maps over passes and over times."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.attention_control.controller import AttentionCall, ControlRun, Effect, Layers, Row
from epimesh.diffusion.attention_control.map_arithmetic import FilterRule, Maps, Pool, filter_maps
from epimesh.diffusion.sampler import Pass
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput

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

    @property
    def rule(self) -> FilterRule:
        """The arithmetic that the settings describe."""
        return FilterRule(self.pool, self.pool_fresh, self.fresh, self.renewal)

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

    def touches(self, moment: Pass) -> Effect:
        """Scores, where there is something to pool, to blend or to keep."""
        first_time = not self._history and not moment.is_last
        return "scores" if self._pools(moment) or (self._remembers(moment) and not first_time) else "nothing"

    def scores(self, scores: Float[Tensor, "B heads N M"], call: AttentionCall) -> Float[Tensor, "B heads N M"]:
        """The filtered scores."""
        scores = scores.contiguous()
        keys = [(call.layer, row) for row in call.rows]
        maps = [self._met(*met) for met in zip(scores, keys, call.sources, strict=True)]
        filter_maps(maps, self.settings.rule, call.moment)
        for met, key, source in zip(maps, keys, call.sources, strict=True):
            self._keep(met, key, source, call.moment)
        return scores

    def history(self, layer: str, row: Row) -> Map | None:
        """What is remembered of earlier times."""
        _, map_ = self._history.get((layer, row), (row, None))
        return map_

    def _pools(self, moment: Pass) -> bool:
        return self.settings.pool != "none" and moment.passes > 1 and moment.time in self.settings.pool_window

    def _remembers(self, moment: Pass) -> bool:
        return self.settings.fresh < 1 and moment.time in self.settings.history_window

    def _met(self, scores: Map, key: tuple[str, Row], source: Row) -> Maps:
        remembered = self._history.get(key)
        # Columns are the tokens of the row that keys come from: another row's history means other pixels.
        history = remembered[1] if remembered is not None and remembered[0] == source else None
        return Maps(scores, self._pooled.get(key), history)

    def _keep(self, maps: Maps, key: tuple[str, Row], source: Row, moment: Pass) -> None:
        if maps.pooled is None and self._pools(moment) and not moment.is_last:
            self._pooled[key] = self._kept(maps.scores)
        if maps.history is None and self._remembers(moment) and moment.is_last:
            self._history[key] = (source, self._kept(maps.scores))

    def _kept(self, scores: Map) -> Map:
        halved = self.settings.half and scores.dtype in (torch.float32, torch.float64)
        return scores.detach().to(torch.float16 if halved else scores.dtype, copy=True)
