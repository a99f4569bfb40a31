"""How a run computes: precision, limits of memory, and streams of random numbers."""

import pytest
import torch

from epimesh.errors import BadInput
from epimesh.runtime import Runtime, bytes_of


def test_amounts_of_memory_need_their_unit() -> None:
    assert [bytes_of(amount) for amount in ("4GB", "1.5 gb", "800MB", None)] == [4 * 10**9, 15 * 10**8, 8 * 10**8, None]
    for amount in ("4", "lots", "-1GB", "0GB", "GB", "", "4KB", "infGB", "nanGB"):
        with pytest.raises(BadInput, match=rf"'{amount}'.\nExpected .* 4GB or 800MB"):
            bytes_of(amount)


def test_networks_run_in_the_precision_that_is_asked_for() -> None:
    asked = [Runtime("cpu", precision=name).dtype for name in ("auto", "fp32", "fp16", "bf16")]
    assert asked == [torch.float32, torch.float32, torch.float16, torch.bfloat16]


def test_every_purpose_has_its_own_random_numbers() -> None:
    def drawn(seed: int, purpose: str) -> torch.Tensor:
        return torch.randn(8, generator=Runtime("cpu", seed).generator(purpose))

    assert torch.equal(drawn(0, "views"), drawn(0, "views"))
    assert not torch.equal(drawn(0, "views"), drawn(0, "decode"))
    assert not torch.equal(drawn(0, "views"), drawn(1, "views"))


def test_apart_the_random_numbers_are_others_that_follow_from_the_seed() -> None:
    runtime = Runtime("cpu", 3)
    assert runtime.apart("a") == Runtime("cpu", 3).apart("a")
    assert len({runtime.seed, runtime.apart("a").seed, runtime.apart("b").seed, Runtime("cpu", 4).apart("a").seed}) == 4
