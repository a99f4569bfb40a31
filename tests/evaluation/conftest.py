"""What the tests of this room share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def chicken(shared: Path) -> Path:
    """A complete published case: true mesh, true depth maps, generated views."""
    folder = shared / "data" / "chicken"
    if not folder.is_dir():
        pytest.skip(f"no reference case at {folder}")
    return folder
