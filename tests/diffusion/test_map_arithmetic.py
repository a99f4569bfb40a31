"""Filtering takes all rows at once on a GPU, some or pieces of one on a CPU; nothing depends on which."""

import pytest
import torch

from epimesh.diffusion.attention_control.map_arithmetic import CACHED, Maps, Pool, filter_maps, filter_together
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.sampler import Pass

PIECES, PAIRS = 160, 80  # a row of this side is more than a piece; two rows make one
LAST, BEFORE = Pass(900, 5, 5), Pass(900, 3, 5)


def rows(stored: torch.dtype, side: int) -> list[Maps]:
    """Four rows of every state of memory."""
    torch.manual_seed(0)
    assert (4 * side**2 > CACHED) if side == PIECES else (2 * 4 * side**2 <= CACHED < 3 * 4 * side**2)
    made = []
    for pooled, history in ((True, True), (True, False), (False, True), (False, False)):
        scores, *memory = (torch.randn(4, side, side) for _ in range(3))
        kept = [map_.to(stored) if there else None for map_, there in zip(memory, (pooled, history), strict=True)]
        made.append(Maps(scores, *kept))
    return made


@pytest.mark.parametrize("side", [PIECES, PAIRS])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
@pytest.mark.parametrize("moment", [BEFORE, LAST])
@pytest.mark.parametrize("pool", ["min", "mean", "ema"])
def test_all_rows_at_once_give_bitwise_what_some_or_pieces_of_each_give(
    pool: Pool, moment: Pass, stored: torch.dtype, side: int
) -> None:
    in_pieces, at_once, before = (rows(stored, side) for _ in range(3))
    filter_maps(in_pieces, MapFilter(pool=pool).rule, moment)
    filter_together(at_once, MapFilter(pool=pool).rule, moment)
    for one, other, given in zip(in_pieces, at_once, before, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)
        changed = given.pooled is not None or given.history is not None
        assert torch.equal(one.scores, given.scores) != changed
