"""Weights of every generator that Zero-to-Hero can steer, written once."""

from pathlib import Path

import pytest
from hero_stages import KINDS, Generator, generator, save_all
from published_folders import noisy_photo

from epimesh.photo import Photo


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_all(folder)
    return folder


@pytest.fixture(params=KINDS)
def stage(weights: Path, request: pytest.FixtureRequest) -> Generator:
    return generator(weights, request.param)


@pytest.fixture(scope="session")
def photo() -> Photo:
    return noisy_photo()
