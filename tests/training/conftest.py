"""Packs of views: real renders of made-up objects, and packs whose views carry their own number."""

from pathlib import Path

import pytest
from numbered_packs import numbered_pack, save_noise_packs
from published_folders import save_zero123

from epimesh.data.packs.render_objects import RenderJob, RenderSettings, render_all
from epimesh.data.procedural.records import LoadProcedural, procedural_records


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three made-up objects in views of 64 pixels."""
    out = tmp_path_factory.mktemp("rendered")
    settings = RenderSettings(size=64, supersample=1, seed=3)
    jobs = [RenderJob(record, out, settings, LoadProcedural(None)) for record in procedural_records(3, 0, 3)]
    assert [reason for _, reason in render_all(jobs, processes=1)] == [None] * 3
    return out


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Packs of six families."""
    folder = tmp_path / "numbered"
    folder.mkdir()
    for family in ("cups", "chairs", "shoes", "lamps", "cars", "pots"):
        numbered_pack(family, family).save(folder / f"{family}.safetensors")
    return folder


@pytest.fixture(scope="session")
def zero123(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights in the layout of a converted Zero-1-to-3."""
    folder = tmp_path_factory.mktemp("weights") / "zero123"
    save_zero123(folder)
    return folder


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects of noise, of the size that those weights take."""
    folder = tmp_path_factory.mktemp("packs")
    save_noise_packs(folder, ("cups", "chairs"), size=64)
    return folder
