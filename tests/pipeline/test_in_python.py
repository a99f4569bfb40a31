"""What a program does with the pipeline: any photo in, a file out, models kept, stages looked at."""

import io
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import tiny_stages
import torch
import trimesh
from PIL import Image

from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.given_photo import photo_file
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime
from epimesh.views import Views

ALL = ["read", "views", "decode", "reconstruct", "mesh", "texture"]


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def pixels_of(photo: object) -> np.ndarray:
    with photo_file(photo) as path:  # type: ignore[arg-type]
        return np.asarray(Image.open(path))


def test_a_photo_may_be_a_path_bytes_a_picture_an_array_or_a_tensor(tmp_path: Path) -> None:
    picture = Image.fromarray(colours())
    picture.save(tmp_path / "photo.png")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    channels_first = torch.from_numpy(colours()).permute(2, 0, 1)
    given = [
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        buffer.getvalue(),
        picture,
        colours(),
        (colours() / 255).astype(np.float32),
        channels_first,
        channels_first.double() / 255,
    ]
    for photo in given:
        np.testing.assert_array_equal(pixels_of(photo), colours())


def test_a_picture_that_lies_on_its_side_is_turned_upright_as_its_file_would_be() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(colours()).save(buffer, format="PNG", exif=exif)
    assert pixels_of(Image.open(buffer)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((20, 30)), r"shape \(20, 30\)"),
        (torch.zeros(20, 30, 3), r"tensor \[3 or 4, H, W\]"),
        (np.full((4, 4, 3), 200.0), "from 200 to 200"),
        (np.full((4, 4, 3), np.nan), "from nan"),
    ],
    ids=["grey", "channels last", "not 0 to 1", "NaN"],
)
def test_what_is_no_photo_is_refused(photo: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        pixels_of(photo)


def test_without_a_folder_nothing_is_kept(
    pipeline: ImageTo3D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(pipeline(colours()), Mesh)
    assert calls == ALL
    assert not list(tmp_path.iterdir())


def test_with_a_folder_the_next_call_goes_on_there(pipeline: ImageTo3D, tmp_path: Path, calls: list[str]) -> None:
    pipeline(colours(), out=tmp_path / "kept")
    pipeline(colours(), out=str(tmp_path / "kept"))
    assert calls == ALL


def test_a_seed_and_a_device_are_arguments(pipeline: ImageTo3D, tmp_path: Path) -> None:
    one, same, other = (pipeline.run_until("views", colours(), seed=seed, device="cpu") for seed in (1, 1, 2))
    assert torch.equal(one.latents, same.latents)  # type: ignore[attr-defined]
    assert not torch.equal(one.latents, other.latents)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="--device"):
        pipeline(colours(), device="gpu")


def test_a_run_until_a_slot_gives_what_that_stage_makes_and_starts_no_later_one(
    pipeline: ImageTo3D, calls: list[str]
) -> None:
    assert isinstance(pipeline.run_until("read", colours()), Photo)
    assert isinstance(pipeline.run_until("decode", colours()), Views)
    assert calls == ["read", "read", "views", "decode"]
    for slot in ("paint", "refine"):
        with pytest.raises(BadInput, match="read, views, decode, reconstruct, mesh, texture"):
            pipeline.run_until(slot, colours())


LOADED: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Heavy(tiny_stages.PixelDecoder):
    """Counts how often its weights are loaded."""

    @cached_property
    def network(self) -> str:
        LOADED.append("network")
        return "network"

    def __call__(self, latents, *, runtime):  # type: ignore[no-untyped-def]
        assert self.network
        return super().__call__(latents, runtime=runtime)


def test_within_a_block_models_are_loaded_once_and_dropped_at_its_end(pipeline: ImageTo3D) -> None:
    heavy = replace(pipeline, decode=Heavy())
    LOADED.clear()
    heavy(colours())
    heavy(colours())
    assert len(LOADED) == 2  # else each call gives its memory back
    with heavy.loaded(Runtime("cpu")) as make_mesh:
        make_mesh(colours())
        make_mesh(colours(), seed=3)
        assert len(LOADED) == 3
        assert "network" in heavy.decode.__dict__
    assert "network" not in heavy.decode.__dict__


def test_a_nested_stage_is_released_with_the_one_that_holds_it() -> None:
    from epimesh.decoders import RenderedPrior
    from epimesh.stages import VolumePrior

    prior = VolumePrior()
    prior.__dict__["network"] = "loaded"
    RenderedPrior(prior=prior).release()
    assert "network" not in prior.__dict__


def test_presets_take_settings_by_their_short_names() -> None:
    pipeline = ImageTo3D.from_preset("small", steps=7, faces=900, **{"texture.size": 128})
    assert pipeline.views.steps == 7  # type: ignore[attr-defined]
    assert pipeline.mesh.faces == 900  # type: ignore[attr-defined]
    assert pipeline.texture.size == 128  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match=r"There is no setting 'step'.*\n.*steps"):
        ImageTo3D.from_preset("small", step=7)


def test_a_mesh_becomes_a_file_whatever_its_path_is(pipeline: ImageTo3D, tmp_path: Path) -> None:
    mesh = pipeline(colours())
    assert mesh.export(str(tmp_path / "a" / "mesh.glb")) == tmp_path / "a" / "mesh.glb"
    mesh.export(tmp_path / "mesh.stl", height=0.12, origin="ground")
    bounds = trimesh.load(tmp_path / "mesh.stl").bounds
    np.testing.assert_allclose(bounds[:, 2], [0, 120], atol=1e-3)


def test_saving_to_the_name_of_a_mesh_file_is_refused_and_text_names_a_folder(
    pipeline: ImageTo3D, tmp_path: Path
) -> None:
    mesh = pipeline(colours())
    for name in (str(tmp_path / "x.glb"), tmp_path / "x.STL"):
        with pytest.raises(BadInput, match=r"mesh\.export\("):
            mesh.save(name)
    assert not list(tmp_path.iterdir())
    mesh.save(str(tmp_path / "kept"))
    assert torch.equal(Mesh.load(str(tmp_path / "kept")).faces, mesh.faces)


def test_trimesh_gets_the_texture_and_the_axes_of_a_glb(pipeline: ImageTo3D, tmp_path: Path) -> None:
    mesh = pipeline(colours())
    found = mesh.to_trimesh()
    written = trimesh.load(mesh.export(tmp_path / "mesh.glb"), force="mesh", process=False)
    np.testing.assert_allclose(found.vertices, written.vertices, atol=1e-6)
    np.testing.assert_allclose(found.visual.uv, written.visual.uv, atol=1e-6)
    assert mesh.texture is not None
    assert found.visual.material.baseColorTexture.size == mesh.texture.shape[:0:-1]
    found.export(tmp_path / "again.glb")
    again = trimesh.load(tmp_path / "again.glb", force="mesh", process=False)
    np.testing.assert_allclose(again.vertices, written.vertices, atol=1e-6)
