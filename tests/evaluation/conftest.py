"""What the tests of this room share."""

from pathlib import Path

import pytest
import trimesh


@pytest.fixture(scope="session")
def chicken(shared: Path) -> Path:
    """A complete published case: true mesh, true depth maps, generated views."""
    folder = shared / "data" / "chicken"
    if not folder.is_dir():
        pytest.skip(f"no reference case at {folder}")
    return folder


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A data set of closed solids, z up: a plank, a ball and a tower to train on, a box and a ball to test."""
    folder = tmp_path / "objects"
    (folder / "glb").mkdir(parents=True)
    rows = ["id,file,split,hard,licence,attribution,family,realistic"]
    shapes = {
        "plank": ("train", trimesh.creation.box([1.0, 0.3, 0.2])),
        "globe": ("train", trimesh.creation.icosphere(3, 0.5)),
        "tower": ("train", trimesh.creation.cylinder(0.2, 1.0)),
        "chest": ("test", trimesh.creation.box([0.6, 1.0, 0.5])),
        "marble": ("test", trimesh.creation.icosphere(3, 0.5)),
    }
    for number, (name, (split, shape)) in enumerate(shapes.items()):
        (folder / "glb" / f"{name}.glb").write_bytes(shape.export(file_type="glb"))
        rows.append(f"{name},glb/{name}.glb,{split},0,CC0-1.0,me,family_{name},{number % 2}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
