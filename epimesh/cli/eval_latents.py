"""`epimesh eval latents`: whether an autoencoder's latents can be moved and matched like pictures."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.eval_parser import parsed, parser_of
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from torch import Tensor

    from epimesh.diffusion.autoencoder import Autoencoder
    from epimesh.evaluation.metrics.equivariance import Equivariance
    from epimesh.evaluation.metrics.patch_correlation import Correlation
    from epimesh.views import Views

_DESCRIPTION = """Measures whether latents behave like pictures, which lifting them into 3D takes for granted.

VAE is the weights of an autoencoder (bundled:patch-vae, a folder, hub:OWNER/NAME). VIEWS is a folder of views with
depth, as `epimesh render` makes it. Four things are written to --out:

moved.png       a picture, and what its latents decode to after they were cropped, turned and blurred
matched.png     correlation of patches that show the same place, in pixels and in latents, against the angle between
                views; and by chance
components.png  principal components of a view denoiser's features, the same three for four views (with --denoiser)
latents.json    all numbers

Blurred rows compare with blurred pictures; they say nothing about moving.

examples:
  epimesh eval latents bundled:patch-vae renders/chair --out latents
  epimesh eval latents bundled:patch-vae renders/chair --denoiser bundled:syncdreamer-small --out latents
"""
FOUR = 4


def main(arguments: list[str]) -> int:
    """Measures and draws. Returns 0."""
    import torch

    from epimesh.data.posed.posed_views import read_posed_views
    from epimesh.diffusion.autoencoder import load_autoencoder
    from epimesh.evaluation.metrics.equivariance import equivariance
    from epimesh.evaluation.metrics.patch_correlation import patch_correlations

    config = parsed(_parser(), arguments)
    out, autoencoder = Path(config.out).expanduser(), load_autoencoder(config.vae)
    views = _checked(read_posed_views(Path(config.views_folder).expanduser(), geometry=True), autoencoder)
    images = torch.cat([views.rgb, views.alpha], dim=1)
    moved = equivariance(autoencoder, images)
    matched = patch_correlations(autoencoder, views, torch.Generator().manual_seed(config.seed))
    out.mkdir(parents=True, exist_ok=True)
    _draw(out, autoencoder, views, matched)
    if config.denoiser is not None:
        _draw_components(out, config.denoiser, config.time, autoencoder, views)
    found = {"moved": [asdict(row) for row in moved], "matched": [asdict(row) for row in matched]}
    (out / "latents.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found) if config.json else _table(moved, matched, out))
    return 0


def _checked(views: "Views", autoencoder: "Autoencoder") -> "Views":
    size = (views.cameras.height, views.cameras.width)
    if size[0] != size[1] or size[0] % autoencoder.factor:
        raise BadInput(
            f"The views are {size[1]} x {size[0]} pixels.\n"
            f"Expected squares whose side is a multiple of {autoencoder.factor}, as the autoencoder needs them."
        )
    return views


def _draw(out: Path, autoencoder: "Autoencoder", views: "Views", matched: "list[Correlation]") -> None:
    import torch

    from epimesh.evaluation.metrics.equivariance import moved_pictures
    from epimesh.evaluation.report.line_chart import line_chart
    from epimesh.views import contact_sheet

    image = torch.cat([views.rgb[:1], views.alpha[:1]], dim=1)
    contact_sheet(moved_pictures(autoencoder, image), columns=2).save(out / "moved.png")
    lines: dict[str, list[float]] = {
        name.replace("_", " "): [getattr(row, name) for row in matched]
        for name in ("pixels", "latents", "pixels_by_chance", "latents_by_chance")
    }
    angles = [row.angle_deg for row in matched]
    line_chart("correlation of patches", "degrees between views", angles, lines).save(out / "matched.png")


def _draw_components(out: Path, source: str, time: int, autoencoder: "Autoencoder", views: "Views") -> None:
    import torch

    from epimesh.errors import StageMismatch
    from epimesh.evaluation.metrics.feature_components import features, joint_components
    from epimesh.stages.zero123.small_network import load_view_denoiser
    from epimesh.views import contact_sheet

    loaded, four = load_view_denoiser(source), views[list(range(min(FOUR, len(views))))]
    latents = autoencoder.encode(torch.cat([four.rgb, four.alpha], dim=1))
    if loaded.network.latent_channels != latents.shape[1]:
        raise StageMismatch(
            f"--denoiser {source} works on latents of {loaded.network.latent_channels} channels, the autoencoder makes "
            f"{latents.shape[1]}.\nGive a pair made together."
        )
    found = features(loaded, latents, four, time, torch.Generator().manual_seed(0))
    maps = [
        torch.nn.functional.interpolate(joint_components(one), four.rgb.shape[-2:]) for one in _wanted(found).values()
    ]
    contact_sheet(torch.cat([four.rgb, *maps]), columns=len(four)).save(out / "components.png")


def _wanted(found: "dict[str, Tensor]") -> "dict[tuple[str, int], Tensor]":
    """The last layer of each kind at each resolution."""
    kinds = {name: name.rsplit(".", 1)[-1] if "to_" in name else "residual" for name in found}
    return {(kinds[name], one.shape[-1]): one for name, one in found.items()}


def _table(moved: "list[Equivariance]", matched: "list[Correlation]", out: Path) -> str:
    lines = [f"{'transform':<12} {'PSNR dB':>8} {'SSIM':>6}"]
    lines += [f"{row.transform:<12} {row.psnr:>8.2f} {row.ssim:>6.3f}" for row in moved]
    lines += ["", f"{'angle':<8} {'pixels':>8} {'latents':>8} {'by chance':>17} {'matches':>8}"]
    lines += [
        f"{row.angle_deg:<8.1f} {row.pixels:>8.3f} {row.latents:>8.3f} {row.pixels_by_chance:>8.3f} "
        f"{row.latents_by_chance:>8.3f} {row.matches:>8}"
        for row in matched
    ]
    return "\n".join([*lines, "", f"Pictures are in {out}."])


def _parser() -> "ArgumentParser":
    parser = parser_of("latents", _DESCRIPTION)
    add = parser.add_argument
    add("vae", type=str, metavar="VAE", help="weights of an autoencoder")
    add("views_folder", type=str, metavar="VIEWS", help="a folder of views with depth")
    add("--out", type=str, default="latents", help="folder for pictures and numbers")
    add("--denoiser", type=str | None, default=None, help="weights of a small view denoiser, for components.png")
    add("--time", type=int, default=300, help="noise of the views it looks at, 0 to 999")
    add("--seed", type=int, default=0, help="chooses the places that are compared")
    add("--json", action="store_true", help="print everything for machines")
    return parser
