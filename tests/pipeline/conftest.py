"""A pipeline of the smallest honest stages."""

from pathlib import Path

import pytest
import tiny_stages

from epimesh.pipeline.image_to_3d import ImageTo3D


@pytest.fixture
def calls() -> list[str]:
    """Which stages were computed, in order."""
    tiny_stages.CALLS.clear()
    return tiny_stages.CALLS


@pytest.fixture
def pipeline() -> ImageTo3D:
    """Disc -> ball."""
    return ImageTo3D(
        read=tiny_stages.ReadDisc(),
        views=tiny_stages.SameFromEverywhere(),
        decode=tiny_stages.PixelDecoder(),
        reconstruct=tiny_stages.Ball(),
        mesh=tiny_stages.Tetrahedron(),
        texture=tiny_stages.OneColour(),
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file that counts as a photo for stages that do not look at it."""
    path = tmp_path / "photo.png"
    path.write_bytes(b"any bytes")
    return path
