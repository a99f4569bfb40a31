"""Our tensors beside those of a reference implementation. `pytest tests/stages --parity-table` prints all of them."""

import hashlib
import json
from pathlib import Path

from torch import Tensor, nn

ROWS: list[tuple[str, float, float]] = []
"""What was compared so far: name, largest relative error, tolerance."""


def check(name: str, found: Tensor, expected: Tensor, *, within: float) -> None:
    """The largest difference over the largest expected value is at most `within`."""
    assert found.shape == expected.shape
    error = float((found.to(expected.dtype) - expected).abs().max() / expected.abs().max())
    ROWS.append((name, error, within))
    assert error <= within, f"{name}: {error:.1e} over {within:.0e}"


def check_places(network: nn.Module, listed: Path, kept: str) -> None:
    """Names and shapes of a network's tensors are the published ones: by the list where it is at hand, always by a sum.

    Args:
        network: may be on the meta device.
        listed: JSON of name to [shape, kind], which is not part of the project.
        kept: SHA-256 of the names and shapes, of when they matched that list.
    """
    places = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    if listed.is_file():
        wanted = {name: entry[0] for name, entry in json.loads(listed.read_text()).items() if name[0] != "_"}
        assert places == wanted
    assert hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest() == kept


def table() -> str:
    """All rows, as Markdown."""
    lines = [f"| {name} | {error:.1e} | {within:.0e} |" for name, error, within in ROWS]
    return "\n".join(["| tensor | largest relative error | tolerance |", "|---|---|---|", *lines])
