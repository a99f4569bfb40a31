"""What all tests share: where the given data lie, and a reason to skip when they are absent."""

import os
from pathlib import Path

import pytest
import torch

SHARED = Path(os.environ.get("EPIMESH_SHARED", Path(__file__).parent.parent.parent / "shared"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--parity-table` prints how far every tensor is from the reference implementations."""
    parser.addoption("--parity-table", action="store_true", help="print the comparison with reference implementations")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the table, if it was asked for; and says aloud what could not be compared."""
    skipped = [str(one.longrepr) for one in terminalreporter.stats.get("skipped", [])]
    absent = sum("EPIMESH_ORACLES" in reason for reason in skipped)
    if absent:
        terminalreporter.write_line(
            f"{absent} comparisons with reference implementations were SKIPPED: their files are not part of the "
            "project (EPIMESH_ORACLES names the folder). tests/stages/test_kept_outputs.py guards the same generators.",
            yellow=True,
        )
    if config.getoption("--parity-table"):
        import parity

        terminalreporter.write_line(parity.table())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data and oracles, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no data at {SHARED}; set EPIMESH_SHARED to the folder that holds data/ and oracles/")
    return SHARED


@pytest.fixture(autouse=True)
def _same_random_numbers_in_every_test() -> None:
    torch.manual_seed(0)
