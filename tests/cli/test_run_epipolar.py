"""A run that decodes all views of the ring together: by rough depth, in rounds, resumed, and given bad input."""

import json
from pathlib import Path

import pytest
import tiny_stages
import torch
from safetensors.torch import save_file

from epimesh.cli import main
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.views import Views
from epimesh.weights import resolve
from epimesh.weights.loading import load_network

GUIDED = ["--decode", "SmallEpipolarDecoder", "--decode.weights", "small"]
COARSE = ["--decode.depth", "CoarseDepth", "--decode.depth.decode", "VaeDecoder", "--decode.depth.reconstruct"]
COARSE += ["VisualHull", "--decode.depth.reconstruct.resolution", "32"]
GIVEN = ["--decode.depth", "GivenDepth", "--decode.depth.file", "depth.safetensors"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights on top of the bundled autoencoder, a photo, and presets with quick stages behind the decoder."""
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    network = SmallEpipolarVae.from_plain(load_network(PatchAutoencoder, resolve("bundled:patch-vae")))
    for name, parameter in network.named_parameters():
        if not name.startswith("plain."):
            torch.nn.init.normal_(parameter, std=0.02)
    network.save_pretrained(home / "small")
    (home / "ring.yaml").write_text(
        tiny_stages.PRESET.replace("tiny_stages.SameFromEverywhere", "epimesh.stages.CoarsePrior").replace(
            "tiny_stages.PixelDecoder", "epimesh.decoders.VaeDecoder"
        )
    )
    (home / "photo.png").write_bytes(b"any bytes")
    return home


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(home)
    return main(["run", "photo.png", "--preset", "ring.yaml", "--json", *arguments])


def decoded(home: Path, report: dict) -> Views:
    return Views.load(home / "runs/photo" / report["stages"][2]["folder"])


def test_all_views_are_decoded_together_and_other_settings_of_it_do_not_repeat_the_generator(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = []
    for arguments in ([], GUIDED + COARSE, [*GUIDED, *COARSE, "--decode.rounds", "2"], GUIDED + COARSE):
        assert run(home, monkeypatch, *arguments) == 0, capsys.readouterr().err
        reports.append(json.loads(capsys.readouterr().out))
    plain, once, twice, again = reports
    assert [stage["reused"] for stage in once["stages"]] == [True, True, False, False, False, False]
    assert [stage["reused"] for stage in twice["stages"]] == [True, True, False, False, False, False]
    assert all(stage["reused"] for stage in again["stages"])
    assert [len(report["notes"]) for report in reports] == [0, 1, 2, 0]
    assert once["notes"][0].startswith("Rough depth is known at ")
    views = [decoded(home, report) for report in (plain, once, twice)]
    assert [view.rgb.shape for view in views] == [(16, 3, 128, 128)] * 3
    changes = [(one.rgb - other.rgb).abs().max() for one, other in ((views[0], views[1]), (views[1], views[2]))]
    assert min(changes) > 1e-4
    assert (home / "runs/photo/photo.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (torch.ones(16, 64, 64), "shape (16, 64, 64)"),
        (torch.ones(15, 128, 128), "16 views of 128 x 128"),
        (torch.full((16, 128, 128), torch.nan), "Depth is nan at view 0"),
        (torch.full((16, 128, 128), -1.0), "Use infinity where the depth is not known"),
        (None, "holds no depth"),
    ],
    ids=["size", "views", "nan", "behind the camera", "no file"],
)
def test_depth_that_cannot_be_used_is_named_and_leaves_no_asset(home, monkeypatch, capsys, depth, words) -> None:
    (home / "depth.safetensors").unlink(missing_ok=True)
    if depth is not None:
        save_file({"depth": depth}, home / "depth.safetensors")
    assert run(home, monkeypatch, *GUIDED, *GIVEN, "--out", "bad") == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list((home / "bad").glob("*.glb"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*GUIDED, *GIVEN, "--decode.rounds", "2"], "the depth of a GivenDepth is the same in every round"),
        ([*GUIDED, *COARSE, "--decode.rounds", "0"], "rounds is 0"),
        ([*GUIDED, *COARSE, "--decode.latent_space", "sd"], "makes 'patch' latents"),
        (["--decode", "EpipolarDecoder", "--decode.weights", "small", *COARSE], "makes 'patch' latents"),
        ([*GUIDED, *COARSE, "--decode.weights", "nowhere"], "nowhere"),
    ],
    ids=["rounds of given depth", "no round", "other family", "the full-size decoder", "no weights"],
)
def test_what_does_not_fit_is_refused_before_anything_runs(home, monkeypatch, capsys, arguments, words) -> None:
    assert run(home, monkeypatch, *arguments, "--out", "refused") == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list((home / "refused").glob("*"))
