"""A small folder of objects, written by the tests themselves."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

COLUMNS = "id,file,split,hard,source,licence,attribution,category,family,realistic"


def write_object(path: Path) -> None:
    """A plank whose front is textured: red above, green below, blue at the left."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:8, :, 0] = 255
    picture[8:, :, 1] = 255
    picture[:, :4] = (0, 0, 255)
    corners = np.array([[0.2, -0.4, -0.4], [0.2, 0.4, -0.4], [0.2, 0.4, 0.4], [0.2, -0.4, 0.4]])
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], float)  # glTF: v downwards
    uv[:, 1] = 1 - uv[:, 1]  # trimesh flips v when it writes
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture))
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    mesh = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    path.write_bytes(mesh.export(file_type="glb"))


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Three good objects and a broken one."""
    folder = tmp_path / "objects"
    (folder / "glb").mkdir(parents=True)
    rows = [COLUMNS]
    for name, split in (("plank_a", "train"), ("plank_b", "train"), ("plank_c", "val"), ("broken", "train")):
        write_object(folder / "glb" / f"{name}.glb")
        rows.append(f'{name},glb/{name}.glb,{split},{int(name == "plank_b")},here,CC0-1.0,"me, myself",prop,planks,1')
    whole = (folder / "glb" / "broken.glb").read_bytes()
    (folder / "glb" / "broken.glb").write_bytes(whole[: len(whole) // 2])
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder
