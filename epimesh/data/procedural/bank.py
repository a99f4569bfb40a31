"""Tileable images made once and used by all textures: noise, fibres, cells, overlapping leaves."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

SIZE = 128  # of a texture, in pixels

Field = Float[np.ndarray, "_ _"]
Labels = Int[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class TextureBank:
    """Raw material of the textures; every image repeats seamlessly.

    Args:
        noise: from rough to cloudy, in [0, 1].
        fibres: noise drawn out along one axis, in [0, 1].
        cell_edges: distance from the borders of irregular cells.
        cell_centres: distance from their centres.
        cells: number of the cell at each pixel.
        leaves: number of the topmost of many overlapping discs and squares.
        photos: pictures of materials, if a folder was given.
    """

    noise: tuple[Field, ...]
    fibres: tuple[Field, ...]
    cell_edges: tuple[Field, ...]
    cell_centres: tuple[Field, ...]
    cells: tuple[Labels, ...]
    leaves: tuple[Labels, ...]
    photos: tuple[UInt8[np.ndarray, "_ _ 3"], ...] = ()


@cache
def texture_bank(photo_folder: Path | None = None) -> TextureBank:
    """The bank, always the same for the same photos (about two seconds, once per process)."""
    random = np.random.default_rng(7)
    powers = np.repeat([0.6, 0.9, 1.2, 1.5, 1.8, 2.2], 3)
    cells = [_cells(count, random) for count in (12, 30, 80, 200)]
    return TextureBank(
        noise=tuple(_noise(power, 1.0, random) for power in powers),
        fibres=tuple(_noise(1.1, stretch, random) for stretch in (0.06, 0.1, 0.2) for _ in range(2)),
        cell_edges=tuple(edges for _, edges, _ in cells),
        cell_centres=tuple(centres for _, _, centres in cells),
        cells=tuple(numbers for numbers, _, _ in cells),
        leaves=tuple(_leaves(random) for _ in range(4)),
        photos=_photos(photo_folder) if photo_folder is not None else (),
    )


def _noise(power: float, stretch: float, random: np.random.Generator, size: int = 256) -> Field:
    """Noise whose amplitude falls with frequency ** power."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * stretch, np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    phases = random.standard_normal(frequency.shape) + 1j * random.standard_normal(frequency.shape)
    field = np.fft.irfft2(phases * frequency**-power, s=(size, size))
    return np.clip(0.5 + field / (5 * field.std()), 0, 1)


def _cells(count: int, random: np.random.Generator, size: int = 256) -> tuple[Labels, Field, Field]:
    from scipy.spatial import cKDTree

    centres = random.random((count, 2))
    around = np.concatenate([centres + np.array([a, b]) for a in (-1, 0, 1) for b in (-1, 0, 1)])
    y, x = np.mgrid[:size, :size] / size
    distance, nearest = cKDTree(around).query(np.stack([y, x], -1).reshape(-1, 2), 2)
    distance = distance.reshape(size, size, 2) * np.sqrt(count)
    return (nearest[:, 0] % count).reshape(size, size), distance[..., 1] - distance[..., 0], distance[..., 0]


def _leaves(random: np.random.Generator, size: int = SIZE) -> Labels:
    """Dead leaves, nearest first: sizes follow a power law, as in natural images."""
    topmost = np.full((size, size), -1)
    y, x = np.mgrid[:size, :size]
    for number in range(700):
        radius = 2.3 / np.sqrt(random.random() * 0.994 + 0.006)
        centre = random.random(2) * size
        dy, dx = ((axis - middle + size / 2) % size - size / 2 for axis, middle in zip((y, x), centre, strict=True))
        disc = dx**2 + dy**2 < radius**2
        square = np.maximum(np.abs(dx), np.abs(dy)) < radius * 0.85
        topmost[(topmost < 0) & (disc if number % 3 else square)] = number
    return np.maximum(topmost, 0)


def _photos(folder: Path) -> tuple[UInt8[np.ndarray, "T T 3"], ...]:
    from PIL import Image

    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".webp", ".png", ".jpg"))
    size = (SIZE, SIZE)
    return tuple(np.array(Image.open(path).convert("RGB").resize(size, Image.Resampling.BOX)) for path in paths)
