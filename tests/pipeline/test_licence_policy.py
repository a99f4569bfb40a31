"""What may be sold: the policy refuses before anything happens, and every asset says how it was made."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import tiny_stages
from PIL import Image

from epimesh.cli import main
from epimesh.errors import LicenceRefused
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.licences import check_policy
from epimesh.weights import BUNDLED
from epimesh.weights.licences import allows_commerce, licence_of
from epimesh.weights.published import PUBLISHED


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a person works, with a photo; no published weights are here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPIMESH_WEIGHTS", str(tmp_path / "none"))
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    Image.new("RGB", (64, 64), "white").save("photo.png")
    return tmp_path


def extras_of(glb: Path) -> dict[str, Any]:
    content = glb.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length])["asset"]["extras"]


@pytest.mark.parametrize("preset", ["zero123plus", "stable-zero123", "wonder3d", "instantmesh-views"])
def test_commerce_is_refused_with_the_licence_and_presets_that_allow_it(
    folder: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", "photo.png", "--preset", preset, "--license-policy", "commercial", "--download", "--yes"])
    said = capsys.readouterr().err
    assert code == 2
    assert said.splitlines()[1].startswith("LicenceRefused")  # after the line that greets
    assert PUBLISHED[preset].licence in said
    assert "Use a preset that does: volume, " in said
    assert preset not in said.partition("Use a preset")[2]
    assert not (folder / "runs").exists()


def test_presets_that_are_named_as_allowed_are_not_refused_themselves() -> None:
    for name in ("volume", "small", "fast", "syncdreamer", "zero123-xl"):
        check_policy(ImageTo3D.from_preset(name), "commercial")


def test_weights_that_need_consent_are_never_sold_and_all_that_ship_may_be() -> None:
    assert [name for name, known in PUBLISHED.items() if known.consent and known.commercial] == []
    assert not allows_commerce("published:zero123plus/vae")
    assert [one.name for one in BUNDLED.iterdir() if one.is_dir() and not allows_commerce(f"bundled:{one.name}")] == []


def test_weights_of_ones_own_may_be_used_once_a_card_beside_them_states_a_licence(folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    assert licence_of(str(own)) == "not stated"
    assert not allows_commerce(str(own))
    (own / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert not allows_commerce(str(own))
    (own / "README.md").write_text("---\nlicense: MIT\n---\n")
    assert allows_commerce(str(own))


def test_weights_without_a_stated_licence_are_refused_with_what_to_do(folder: Path) -> None:
    (folder / "own").mkdir()
    with pytest.raises(LicenceRefused, match=r"own \(not stated\)[\s\S]*README.md") as refused:
        check_policy(ImageTo3D.from_preset("fast", _with_weights(folder)), "commercial")
    assert "decode" not in str(refused.value)


def _with_weights(folder: Path) -> str:
    path = folder / "mine.yaml"
    path.write_text(
        f"decode: {{class_path: epimesh.decoders.VaeDecoder, init_args: {{weights: {folder / 'own'}}}}}\n",
        encoding="utf-8",
    )
    return str(path)


def test_an_asset_and_its_report_say_that_it_was_generated_and_under_which_licences(folder: Path) -> None:
    assert main(["run", "photo.png", "--preset", "tiny.yaml", "--license-policy", "commercial"]) == 0
    report = json.loads((folder / "runs/photo/run.json").read_text())
    extras = extras_of(folder / "runs/photo/photo.glb")
    assert (report["generated"], report["license_policy"]) == (True, "commercial")
    assert extras["generated"] is True
    assert extras["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert extras["weights"] == report["weights"] == {}
    assert "license_policy" not in (folder / "runs/photo/config.yaml").read_text()


def test_the_asset_names_licences_but_no_folder_of_this_machine(tmp_path: Path) -> None:
    from epimesh.pipeline.licences import provenance

    said = provenance({"bundled:u2netp": "apache-2.0", str(tmp_path / "mine"): "mit"}, generated=False)
    assert said["weights"] == {"bundled:u2netp": "apache-2.0", "mine": "mit"}
    assert said["generated"] is False
    assert "digitalSourceType" not in said
