"""Blender and ComfyUI as clients of a running server; and a client that other programs can copy."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("gradio", reason="needs the extra: pip install 'epimesh[app]'")
from server_process import Server

INTEGRATIONS = Path(__file__).parents[2] / "integrations"

IN_BLENDER = """
import sys
sys.path.insert(0, {folder!r})
import addon_utils, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
assert addon_utils.enable("epimesh_blender", default_set=True) is not None
chosen = bpy.context.preferences.addons["epimesh_blender"].preferences
chosen.server = {url!r}
bpy.context.scene.cursor.location = (1, 2, 3)
print("RESULT", bpy.ops.epimesh.make_mesh(filepath={photo!r}, preset="tiny"))
for one in bpy.context.scene.objects:
    print("OBJECT", one.type, tuple(round(x, 3) for x in one.matrix_world.translation))
chosen.server = "http://127.0.0.1:9"
try:
    bpy.ops.epimesh.make_mesh(filepath={photo!r})
except RuntimeError as error:
    print("SAID", str(error).replace(chr(10), " "))
addon_utils.disable("epimesh_blender")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), "--api-only", "--per-minute", "10000")
    yield started
    started.close()


def test_both_carry_the_same_client_which_needs_nothing_but_python() -> None:
    blender = (INTEGRATIONS / "blender/epimesh_blender/client.py").read_text()
    assert blender == (INTEGRATIONS / "comfyui/epimesh_comfyui/client.py").read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in blender.splitlines() if line.startswith(("import", "from"))
    }
    assert imported <= set(sys.stdlib_module_names)


def test_a_comfyui_node_takes_an_image_and_gives_a_mesh_and_views(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(INTEGRATIONS / "comfyui"))
    monkeypatch.chdir(tmp_path)
    pack = importlib.import_module("epimesh_comfyui")
    (name,) = pack.NODE_CLASS_MAPPINGS
    assert set(pack.NODE_DISPLAY_NAME_MAPPINGS) == {name}
    node = pack.NODE_CLASS_MAPPINGS[name]()
    required = node.INPUT_TYPES()["required"]
    settings = {key: kind[1]["default"] for key, kind in required.items() if len(kind) > 1}
    made = getattr(node, node.FUNCTION)(image=torch.rand(1, 48, 64, 3), **{**settings, "server": server.url, "seed": 5})
    assert len(made) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    glb, views = made
    assert Path(glb).read_bytes()[:4] == b"glTF"
    assert Path(glb).parent == tmp_path
    assert views.ndim == 4
    assert views.dtype == torch.float32
    with pytest.raises(Exception, match="Expected one of: tiny, slow"):
        node.make(torch.rand(1, 8, 8, 3), **{**settings, "server": server.url, "preset": "nothing"})
    with pytest.raises(Exception, match="epimesh serve"):
        node.make(torch.rand(1, 8, 8, 3), **{**settings, "server": "http://127.0.0.1:9"})


def test_blenders_manifest_says_what_blender_asks_for() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    manifest = tomllib.loads((INTEGRATIONS / "blender/epimesh_blender/blender_manifest.toml").read_text())
    needed = {
        "schema_version",
        "id",
        "version",
        "name",
        "tagline",
        "maintainer",
        "type",
        "blender_version_min",
        "license",
    }
    assert needed <= set(manifest)
    assert manifest["id"] == "epimesh_blender"
    assert all(len(why) <= 64 and not why.endswith(".") for why in manifest["permissions"].values())
    assert len(manifest["tagline"]) <= 64


@pytest.mark.slow
def test_the_add_on_makes_a_mesh_at_the_cursor_in_blender(server: Server, tmp_path: Path) -> None:
    python = os.environ.get("EPIMESH_BPY_PYTHON")
    if python is None:
        pytest.skip("EPIMESH_BPY_PYTHON names no Python that has bpy (pip install bpy, in an environment of its own)")
    (tmp_path / "ball.png").write_bytes(server.photo)
    folder = str(INTEGRATIONS / "blender")
    script = IN_BLENDER.format(folder=folder, url=server.url, photo=str(tmp_path / "ball.png"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert "RESULT {'FINISHED'}" in done.stdout, done.stdout + done.stderr
    assert "OBJECT MESH (1.0, 2.0, 3.0)" in done.stdout
    assert "epimesh serve" in done.stdout.partition("SAID")[2]


def test_the_client_follows_the_queue_and_can_stop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(INTEGRATIONS / "comfyui"))
    client = importlib.import_module("epimesh_comfyui.client").Client(server.url)
    assert client.presets() == ["tiny", "slow"]
    said: list[str] = []
    with pytest.raises(Exception, match="cancelled"):
        client.make(server.photo, "a.png", settings={"preset": "slow"}, tell=said.append, stopped=lambda: len(said) > 3)
    assert said
    assert json.loads(server.http.get("/health").text)["ok"] is True
