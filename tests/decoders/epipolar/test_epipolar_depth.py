"""Rough depth at lower resolutions: means of what is known, a filled rim, and clear words for what is no depth."""

import pytest
import torch

from epimesh.decoders.epipolar.depth import check_depth, filled_depth, pooled_depth
from epimesh.errors import BadInput


def test_a_constant_depth_with_holes_stays_that_constant() -> None:
    depth = torch.where(torch.rand(3, 32, 32) < 0.7, torch.inf, 1.4)
    pooled = pooled_depth(depth, 8, 8)
    known = pooled.isfinite()
    torch.testing.assert_close(pooled[known], torch.full((int(known.sum()),), 1.4))
    assert torch.equal(known, depth.isfinite().reshape(3, 8, 4, 8, 4).any(4).any(2))


def test_the_pooled_depth_is_the_mean_of_the_known_ones() -> None:
    depth = torch.where(torch.rand(2, 12, 8) < 0.4, torch.inf, 1 + torch.rand(2, 12, 8))
    pooled = pooled_depth(depth, 4, 4)
    for view, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(4)).tolist():
        block = depth[view, 3 * row : 3 * row + 3, 2 * column : 2 * column + 2]
        known = block[block.isfinite()]
        expected = known.mean() if len(known) else torch.tensor(torch.inf)
        torch.testing.assert_close(pooled[view, row, column], expected)
    assert torch.equal(pooled_depth(depth, 12, 8), depth)


def test_the_rim_takes_the_nearest_depth_and_what_is_further_away_stays_unknown() -> None:
    depth = torch.full((1, 32, 32), torch.inf)
    depth[0, 10:14, 10:14] = 1 + torch.rand(4, 4)
    filled = filled_depth(depth)
    known = depth[0].isfinite().nonzero().float()
    for row, column in torch.cartesian_prod(torch.arange(32), torch.arange(32)).tolist():
        distances = (known - torch.tensor([row, column])).norm(dim=-1)
        nearest = known[distances == distances.min()].long()
        if distances.min() <= 8:
            assert filled[0, row, column] in depth[0, nearest[:, 0], nearest[:, 1]]
        else:
            assert filled[0, row, column].isinf()
    assert torch.equal(filled_depth(depth, reach_px=0), depth)
    assert torch.equal(filled_depth(torch.full_like(depth, torch.inf)), torch.full_like(depth, torch.inf))


@pytest.mark.parametrize("wrong", [torch.nan, 0.0, -0.5, -torch.inf])
def test_what_is_no_depth_is_refused_with_its_place(wrong: float) -> None:
    depth = torch.full((2, 4, 5), torch.inf)
    check_depth(depth)
    depth[1, 2, 3] = wrong
    with pytest.raises(BadInput, match=f"Depth is {wrong} at view 1, row 2, column 3 [^$]*camera z[^$]*infinity"):
        check_depth(depth)


def test_depth_of_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(BadInput, match=r"Depth has 30 x 32 pixels, and the decoder a map of 8 x 8"):
        pooled_depth(torch.ones(1, 30, 32), 8, 8)
