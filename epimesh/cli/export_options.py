"""Options about mesh files: where the mesh stands, how tall it is, how small the files are."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.files.meshes import ExportSettings


def add_export_options(parser: "ArgumentParser") -> None:
    """Adds `--origin`, `--height`, `--texture-format` and `--compress`. Needs no torch."""
    add = parser.add_argument
    add("--origin", type=Literal["centre", "ground"], default="centre", help="ground: the lowest point is at height 0")
    add(
        "--height",
        type=str | None,
        default=None,
        help="how tall the object is, e.g. 120mm, 12cm, 0.5m (default: as 1 m)",
    )
    add(
        "--texture-format",
        dest="texture_format",
        type=Literal["png", "jpeg", "webp"],
        default="png",
        help="in GLB and glTF; webp is small, jpeg opens everywhere",
    )
    add(
        "--compress",
        type=Literal["none", "meshopt", "draco"],
        default="none",
        help="geometry of the GLB, by gltf-transform where it is installed",
    )


def export_settings(config: "Namespace") -> "ExportSettings":
    """What the options say.

    Raises:
        BadInput: the height is none.
    """
    from epimesh.files.meshes import ExportSettings, metres_of

    return ExportSettings(
        origin=config.origin,
        height=None if config.height is None else metres_of(config.height),
        texture_format=config.texture_format,
        compress=config.compress,
    )
