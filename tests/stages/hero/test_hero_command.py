"""Zero-to-Hero from the command line: what cannot work is refused with its name and with what is possible."""

from pathlib import Path

import pytest

from epimesh.cli import main
from epimesh.photo import Photo

REFUSED = {
    "passes": (["--views.hero.resampling.passes=0"], "passes (R) is 0; it has to be at least 1"),
    "window": (["--views.hero.mutual.window.t_min=1001"], "t_min is 1001 and t_max 1000"),
    "share": (["--views.hero.filtering.renewal=-.1"], "renewal is -0.1; it is a share, from 0"),
    "part": (["--views.hero.use=[hourgass]"], "'hourglass'"),
    "start": (["--views.start=700"], "start is 700, but the hourglass is dense from 800 up"),
    "name": (["--views.hero.filtering.layers.inside=[upstairs]"], "layers.inside asks for 'upstairs'"),
    "resolution": (["--views.hero.mutual.layers.resolutions=[7]"], "has no layer to work in"),
    "generator": (["--views=CoarsePrior", "--views.hero.use=[mutual]"], "hero"),
}
POSSIBLE = {"name": "up_blocks.0.attentions", "resolution": "(resolution 8)"}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_work_are_refused_by_name_and_nothing_is_made(
    case: str,
    weights: Path,
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    photo.preview().save(tmp_path / "box.png")
    changes, words = REFUSED[case]
    folders = [] if case == "generator" else _tiny(weights)
    assert main(["run", "box.png", "--preset=zero123-small-hero", *folders, *changes]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert POSSIBLE.get(case, "") in told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("*.glb"))


def _tiny(weights: Path) -> list[str]:
    named = {"weights": "small", "prior": "prior", "autoencoder": "vae"}
    folders = [f"--views.{setting}={weights / folder}" for setting, folder in named.items()]
    return [*folders, "--views.hero.mutual.layers.resolutions=[8]"]  # where the tiny network attends
