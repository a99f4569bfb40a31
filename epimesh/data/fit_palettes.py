"""Reads the palettes of real objects off their training renders.

Run once: python -m epimesh.data.fit_palettes RENDERS/train
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import ViewPack
from epimesh.data.procedural.colors import PALETTES

REALISTIC, STYLISED = 320, 120  # objects of each kind; with a byte per value this is 5 kB


def palette_of(pack: ViewPack) -> UInt8[np.ndarray, "4 3"]:
    """Four typical colours of the object's pixels (k-means), the most frequent first."""
    from scipy.cluster.vq import kmeans2

    rgba = pack.rgba[:RING:4].permute(0, 2, 3, 1).reshape(-1, 4).numpy()
    pixels = rgba[rgba[:, 3] == 255, :3].astype(float)
    pixels = pixels[np.random.default_rng(0).integers(0, len(pixels), 2000)]
    centres, label = kmeans2(pixels, 4, minit="++", seed=0, missing="warn")
    order = np.argsort(-np.bincount(label, minlength=4))
    return centres[order].round().clip(0, 255).astype(np.uint8)


def palettes_of(paths: Iterable[Path]) -> UInt8[np.ndarray, "P 4 3"]:
    """Palettes of many packs, of realistic objects first; a fixed number of each kind, evenly chosen."""
    packs = [ViewPack.load(path) for path in sorted(paths)]
    found = []
    for realistic, wanted in ((True, REALISTIC), (False, STYLISED)):
        of_kind = [pack for pack in packs if pack.realistic == realistic and pack.split == "train"]
        step = max(len(of_kind) // wanted, 1)
        seen = [pack for pack in of_kind[::step][:wanted] if int((pack.rgba[:RING:4, 3] == 255).sum()) > 200]
        found += [palette_of(pack) for pack in seen]
    return np.stack(found)


if __name__ == "__main__":
    np.save(PALETTES, palettes_of(Path(sys.argv[1]).glob("*.safetensors")))
