"""Our tensors beside those of a reference implementation. `pytest tests/stages --parity-table` prints all of them."""

from torch import Tensor

ROWS: list[tuple[str, float, float]] = []
"""What was compared so far: name, largest relative error, tolerance."""


def check(name: str, found: Tensor, expected: Tensor, *, within: float) -> None:
    """The largest difference over the largest expected value is at most `within`."""
    assert found.shape == expected.shape
    error = float((found.to(expected.dtype) - expected).abs().max() / expected.abs().max())
    ROWS.append((name, error, within))
    assert error <= within, f"{name}: {error:.1e} over {within:.0e}"


def table() -> str:
    """All rows, as Markdown."""
    lines = [f"| {name} | {error:.1e} | {within:.0e} |" for name, error, within in ROWS]
    return "\n".join(["| tensor | largest relative error | tolerance |", "|---|---|---|", *lines])
