"""How well and how fast the texture is baked: the published case of SyncDreamer, on its true mesh.

    python bench/texture.py CHICKEN_FOLDER [--pictures FOLDER]

Prints PSNR of the textured mesh, drawn from the 16 cameras, against the images it was baked from and against the
truth, and CPU seconds. The floor of the silhouettes is in it: generated images do not fit the true mesh exactly.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from scipy import ndimage

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.stages import BakeTexture
from epimesh.views import Views, contact_sheet


def read_mesh(path: Path) -> Mesh:
    """Geometry only, vertices as they are in the file."""
    mesh = trimesh.load(path, process=False)
    return Mesh(torch.tensor(np.array(mesh.vertices)).float(), torch.tensor(np.array(mesh.faces)).long())


def read_views(folder: Path) -> Views:
    """The 16 images; those without transparency get coverage from their white background."""
    images = [np.asarray(Image.open(path), np.float32) / 255 for path in sorted(folder.glob("*.png"))]
    rgb = torch.from_numpy(np.stack([image[..., :3] for image in images])).permute(0, 3, 1, 2)
    alpha = np.stack([image[..., 3] if image.shape[-1] == 4 else object_on_white(image) for image in images])
    covered = torch.from_numpy(alpha)[:, None]
    transparent = images[0].shape[-1] == 4
    return Views(
        rgb=rgb * covered + 1 - covered if transparent else rgb,
        alpha=covered,
        cameras=Cameras.ring(size=rgb.shape[-1]),
    )


def object_on_white(image: np.ndarray) -> np.ndarray:
    """The largest thing that is not white, without holes."""
    parts, count = ndimage.label(image.min(-1) < 0.95)
    sizes = ndimage.sum_labels(np.ones_like(parts), parts, np.arange(1, count + 1))
    return ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))).astype(np.float32)


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean over images, in dB."""
    return float((-10 * (one - other).square().mean(dim=(1, 2, 3)).log10()).mean())


def main() -> None:
    """Bakes from generated and from true images, with and without the photo, and prints one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mesh", type=Path, help="default: mesh_world.ply of the folder")
    parser.add_argument("--pictures", type=Path, help="where to write contact sheets and textures")
    args = parser.parse_args()
    mesh = read_mesh(args.mesh or args.folder / "mesh_world.ply")
    truth = read_views(args.folder / "gt")
    front = np.asarray(Image.open(args.folder / "gt" / "000.png"), np.float32) / 255
    photo = Photo(torch.from_numpy(front).permute(2, 0, 1), 30.0, FOV_DEG)
    print(f"{len(mesh.faces)} triangles")
    for name, views, with_photo in (("gen", truth, False), ("gen", truth, True), ("gt", truth, False)):
        views = read_views(args.folder / name)
        runtime = Runtime(device="cpu", reporter=Silent())
        cpu, wall = time.process_time(), time.perf_counter()
        textured = BakeTexture()(mesh, views, photo if with_photo else None, runtime=runtime)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        drawn = render_mesh(textured, views.cameras)
        both = (drawn.alpha > 0.99) & (views.alpha > 0.99)
        inside = -10 * (drawn.rgb - views.rgb).square().mean(1, keepdim=True)[both].mean().log10()
        label = f"{name} + photo" if with_photo else name
        print(
            f"{label:11s} {psnr(drawn.rgb, views.rgb):.2f} dB against its images "
            f"({inside:.2f} per pixel within both silhouettes), {psnr(drawn.rgb, truth.rgb):.2f} dB against the truth; "
            f"{cpu:.1f} CPU s, {wall:.1f} s"
        )
        if args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
            stem = f"{name}{'_photo' if with_photo else ''}"
            rows = torch.cat([views.rgb[::4], drawn.rgb[::4]])
            contact_sheet(rows).save(args.pictures / f"{stem}.png")
            contact_sheet(textured.texture[None], columns=1).save(args.pictures / f"{stem}_texture.png")


if __name__ == "__main__":
    main()
