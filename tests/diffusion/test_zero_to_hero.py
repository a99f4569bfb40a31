"""Attention maps are pooled and remembered as the paper says: sums by hand, and memory that never mixes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epimesh.diffusion.attention_control.controller import PHOTO, AttentionCall, Row
from epimesh.diffusion.attention_control.map_filter import FilterRun, MapFilter
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.sampler import Pass
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput

FILTER = MapFilter(half=False)
ROWS = (Row(0), Row(1), Row(2))


def filtering(run: FilterRun, maps: Tensor, moment: Pass, rows: tuple[Row, ...] = ROWS, layer: str = "up") -> Tensor:
    """One call of a layer, as the attention makes it."""
    if rows[0] == ROWS[0] and layer == "up":
        run.begin(moment)
    return run.scores(maps.clone(), AttentionCall(layer, moment, rows, rows))


def maps(count: int = 1) -> Tensor:
    return torch.randn(count, 3, 2, 4, 4, dtype=torch.float64)  # passes, rows, heads, N, M


# Pooling within a time


def test_the_first_map_of_a_time_passes_unchanged_and_one_pass_is_left_alone() -> None:
    run, (first,) = replace(FILTER, fresh=1.0).start(), maps()
    assert torch.equal(filtering(run, first, Pass(900, 1, 5)), first)
    assert run.touches(Pass(900, 1, 1)) == "nothing"


def test_the_minimum_pool_is_the_least_score_of_all_passes_so_far() -> None:
    run, given = replace(FILTER, fresh=1.0).start(), maps(5)
    for i in range(5):
        out = filtering(run, given[i], Pass(900, i + 1, 5))
        torch.testing.assert_close(out, given[: i + 1].amin(0))
        assert (out <= given[i]).all()


def test_the_minimum_pool_commutes_with_a_positive_scale() -> None:
    given = maps(3)
    one, other = (replace(FILTER, fresh=1.0).start() for _ in range(2))
    for i in range(3):
        moment = Pass(900, i + 1, 3)
        torch.testing.assert_close(filtering(one, given[i], moment) * 8, filtering(other, given[i] * 8, moment))


def test_the_mean_pool_averages_the_new_map_with_the_filtered_ones() -> None:
    run, given = replace(FILTER, fresh=1.0, pool="mean").start(), maps(4)
    filtered: list[Tensor] = []
    for i in range(4):
        expected = (given[i] + sum(filtered)) / (i + 1)
        filtered.append(filtering(run, given[i], Pass(900, i + 1, 4)))
        torch.testing.assert_close(filtered[-1], expected)


def test_the_ema_pool_keeps_a_share_of_the_map_before() -> None:
    run, given = replace(FILTER, fresh=1.0, pool="ema", pool_fresh=0.25).start(), maps(4)
    expected = given[0]
    for i in range(4):
        expected = 0.25 * given[i] + 0.75 * expected
        torch.testing.assert_close(filtering(run, given[i], Pass(900, i + 1, 4)), expected)


def test_a_pool_ends_with_its_time_and_outside_the_window_there_is_none() -> None:
    run, given = replace(FILTER, fresh=1.0).start(), maps(3)
    filtering(run, given[0] - 100, Pass(900, 1, 2))
    assert torch.equal(filtering(run, given[1], Pass(880, 1, 2)), given[1])
    assert run.touches(Pass(790, 2, 2)) == "nothing"


# History over times


def test_history_starts_with_the_last_map_and_changes_only_after_the_last_pass() -> None:
    run, given = replace(FILTER, pool="none").start(), maps(6)
    assert run.touches(Pass(980, 1, 2)) == "nothing"
    assert torch.equal(filtering(run, given[1], Pass(980, 2, 2)), given[1])
    first = run.history("up", ROWS[1])
    assert first is not None
    assert torch.equal(first, given[1, 1])
    before = first.clone()
    for i in (1, 2):
        out = filtering(run, given[i], Pass(960, i, 3))
        torch.testing.assert_close(out, 0.2 * given[i] + 0.8 * given[1])
        assert torch.equal(first, before)
    filtering(run, given[3], Pass(960, 3, 3))
    torch.testing.assert_close(first, 0.5 * (0.2 * given[3, 1] + 0.8 * before) + 0.5 * before)


def test_history_after_many_times_is_the_sum_in_closed_form() -> None:
    run, given = replace(FILTER, pool="none").start(), maps(12)
    for i in range(12):
        filtering(run, given[i], Pass(990 - i))
    weights = torch.tensor([0.9**11, *(0.1 * 0.9 ** (11 - i) for i in range(1, 12))], dtype=torch.float64)
    assert abs(float(weights.sum()) - 1) < 1e-12
    expected = torch.einsum("k,khnm->hnm", weights, given[:, 2])
    torch.testing.assert_close(run.history("up", ROWS[2]), expected, atol=1e-12, rtol=1e-12)


def test_history_is_let_go_when_its_window_ends() -> None:
    run, given = FILTER.start(), maps(2)
    filtering(run, given[0], Pass(610))
    assert run.nbytes == given[0].nbytes
    run.begin(Pass(590))
    assert run.nbytes == 0
    assert run.touches(Pass(590)) == "nothing"


def test_history_of_other_keys_is_not_mixed_in() -> None:
    run, given = replace(FILTER, pool="none").start(), maps(2)
    photo = tuple([Row(PHOTO)] * 3)
    run.scores(given[0].clone(), AttentionCall("up", Pass(700), ROWS, photo))
    out = run.scores(given[1].clone(), AttentionCall("up", Pass(680), ROWS, ROWS))
    assert torch.equal(out, given[1])
    history = run.history("up", ROWS[0])
    assert history is not None
    assert torch.equal(history, given[1, 0])


@pytest.mark.parametrize("pool", ["min", "mean", "ema"])
def test_memory_belongs_to_layer_row_and_branch_whatever_the_order(pool: str) -> None:
    setting = replace(FILTER, pool=pool)  # type: ignore[arg-type]
    together, apart = setting.start(), setting.start()
    order, branches = [2, 0, 1], ("conditional", "unconditional")
    given = torch.randn(4, 2, 3, 2, 4, 4, dtype=torch.float64)
    for i, moment in enumerate([Pass(900, 1, 2), Pass(900, 2, 2), Pass(880, 1, 2), Pass(880, 2, 2)]):
        one = [tuple(row._replace(branch=branch) for row in ROWS) for branch in branches]
        outs = [filtering(together, given[i, b], moment, one[b], "up" if b == 0 else "down") for b in (0, 1)]
        apart.begin(moment)
        for b in (1, 0):
            for k in order:
                call = AttentionCall("up" if b == 0 else "down", moment, one[b][k : k + 1], one[b][k : k + 1])
                assert torch.equal(apart.scores(given[i, b, k : k + 1].clone(), call)[0], outs[b][k])


def test_half_precision_halves_the_memory_and_stays_close() -> None:
    full, half, given = FILTER.start(), MapFilter().start(), maps(6).float()
    for i in range(6):
        moment = Pass(900 - i // 2, i % 2 + 1, 2)
        a, b = filtering(full, given[i], moment), filtering(half, given[i], moment)
        torch.testing.assert_close(a, b, atol=5e-3, rtol=5e-3)
    assert full.nbytes == 2 * half.nbytes == 2 * given[0].nbytes


# Mutual self-attention


def test_every_row_reads_from_the_photo_of_its_own_branch_and_object() -> None:
    rows = (Row(0), Row(1), Row(PHOTO, photo=1), Row(PHOTO), Row(0, photo=1), Row(0, "no"), Row(PHOTO, "no"))
    run = MutualSelfAttention().start()
    assert list(run.sources(AttentionCall("up", Pass(900), rows, rows))) == [3, 3, 2, 3, 2, 6, 6]
    assert [run.touches(Pass(time)) for time in (981, 601, 599)] == ["keys", "keys", "nothing"]


def test_mutual_attention_without_a_row_of_the_photo_is_refused() -> None:
    rows = (Row(0), Row(PHOTO, "unconditional"))
    with pytest.raises(BadInput, match=r"at time 900 found no row of the photo beside .*conditional"):
        MutualSelfAttention().start().sources(AttentionCall("up", Pass(900), rows, rows))


@pytest.mark.parametrize("name", ["fresh", "renewal", "pool_fresh"])
def test_shares_out_of_range_and_impossible_windows_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} is 1.5"):
        MapFilter(**{name: 1.5})
    with pytest.raises(BadInput, match="t_min is 900 and t_max 800"):
        MapFilter(pool_window=Window(900, 800))
