"""The arithmetic of filtering attention maps, in place, on the maps of many rows at once or piece by piece."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from epimesh.diffusion.sampler import Pass

Pool = Literal["min", "mean", "ema", "none"]
CACHED = 2**16
Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class FilterRule:
    """How a new map is joined with what is remembered; see `MapFilter` for what each means."""

    pool: Pool
    pool_fresh: float
    fresh: float
    renewal: float


class Maps(NamedTuple):
    """Of one row, or a piece of each.

    Args:
        scores: the new map.
        pooled: what was joined of earlier passes at this time, if there is something.
        history: what is remembered of earlier times, if there is something.
    """

    scores: Tensor
    pooled: Tensor | None
    history: Tensor | None


def filter_maps(rows: Sequence[Maps], rule: FilterRule, moment: Pass) -> None:
    """Changes the scores of all rows by what is remembered, and what is remembered by the scores."""
    for maps in _worked_on_together(rows):
        filter_together(maps, rule, moment)


def filter_together(maps: Sequence[Maps], rule: FilterRule, moment: Pass) -> None:
    """The same in one go, which no result depends on."""
    pools = [(scores, pooled) for scores, pooled, _ in maps if pooled is not None]
    histories = [(scores, history) for scores, _, history in maps if history is not None]
    if pools:
        _join(*_columns(pools), rule, moment)
    if histories:
        _blend(*_columns(histories), rule, moment)
    if pools and not moment.is_last:
        _add_to_pool(*_columns(pools), rule)


def _join(scores: Tensors, pooled: Tensors, rule: FilterRule, moment: Pass) -> None:
    if rule.pool == "min":
        torch._foreach_minimum_(scores, _as(scores, pooled))
    elif rule.pool == "mean":
        torch._foreach_add_(scores, pooled)
        torch._foreach_div_(scores, moment.number)
    else:
        torch._foreach_mul_(scores, rule.pool_fresh)
        torch._foreach_add_(scores, pooled, alpha=1 - rule.pool_fresh)


def _blend(scores: Tensors, history: Tensors, rule: FilterRule, moment: Pass) -> None:
    before = _as(scores, history)
    torch._foreach_mul_(scores, rule.fresh)
    torch._foreach_add_(scores, before, alpha=1 - rule.fresh)
    if moment.is_last:
        torch._foreach_copy_(history, torch._foreach_lerp(before, scores, rule.renewal))


def _add_to_pool(scores: Tensors, pooled: Tensors, rule: FilterRule) -> None:
    if rule.pool == "min":
        # Not the filtered map alone: it may lie above the pool where history raised it.
        torch._foreach_minimum_(pooled, _as(pooled, scores))
    elif rule.pool == "mean":
        torch._foreach_add_(pooled, scores)
    else:
        torch._foreach_copy_(pooled, scores)


def _worked_on_together(rows: Sequence[Maps]) -> Iterable[Sequence[Maps]]:
    """A GPU takes all rows at once, in a few launches; a CPU what stays in its cache: some small rows, or a piece."""
    if rows[0].scores.device.type != "cpu":
        yield rows
        return
    several = CACHED // rows[0].scores.numel()
    if several > 1:
        yield from (rows[first : first + several] for first in range(0, len(rows), several))
        return
    for maps in rows:
        pieces = (repeat(None) if map_ is None else map_.view(-1).split(CACHED) for map_ in maps)
        for scores, pooled, history in zip(*pieces, strict=False):
            yield [Maps(scores, pooled, history)]


def _columns(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensors, Tensors]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _as(like: Tensors, maps: Tensors) -> Tensors:
    """In the same precision."""
    return [map_.to(one.dtype) for map_, one in zip(maps, like, strict=True)]
