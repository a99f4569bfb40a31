"""`epimesh serve`: a web page and an HTTP API on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.paths import typed_path
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_DESCRIPTION = """A web page and an HTTP API: drop a photo, mend its cut-out, watch the views, take the mesh away.

Only this machine is served, unless --host says otherwise. Needs the extra: pip install 'epimesh[app]'. The address is
printed on stdout once the server listens. docs/serve.md describes the API.

examples:
  epimesh serve                                     the page, on http://127.0.0.1:7860
  epimesh serve --offer small --offer mine.yaml     other presets; the first one is the default
  epimesh serve --host 0.0.0.0 --name mesh.example.org --login logins.txt
"""
_OFFERED = ("volume", "small", "fast")


def main(arguments: list[str]) -> int:
    """Serves until it is stopped."""
    from epimesh.apps.server.api import Offer
    from epimesh.apps.server.limits import Limits
    from epimesh.apps.server.run import ServerSettings, serve

    config = _parser().parse_args(arguments)
    limits = Limits(
        megabytes=config.max_megabytes,
        megapixels=config.max_megapixels,
        per_minute=config.per_minute,
        waiting=config.max_waiting,
        seconds=config.timeout,
        upload_seconds=config.upload_timeout,
        keep_minutes=config.keep_minutes,
    )
    settings = ServerSettings(
        host=config.host,
        port=config.port,
        names=config.name or [],
        logins=_logins(config.login),
        workers=config.workers,
        device=config.device,
        page=not config.api_only,
    )
    serve(settings, limits, Offer(_presets(config), _formats()), lambda line: print(line, flush=True))
    return 0


def _parser() -> "ArgumentParser":
    from argparse import RawDescriptionHelpFormatter
    from typing import Literal

    from jsonargparse import ArgumentParser, DefaultHelpFormatter
    from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

    from epimesh.apps.server.limits import Limits

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    parser = ArgumentParser(prog="epimesh serve", description=_DESCRIPTION, formatter_class=Formatter)
    add, usual = parser.add_argument, Limits()
    add("--host", type=str, default="127.0.0.1", help="address to listen on; 0.0.0.0 is every one of this machine")
    add("--port", type=NonNegativeInt, default=7860, help="0 takes any that is free")
    add("--name", action="append", type=str, help="by which others call this server; may be repeated")
    add(
        "--login", type=str | None, default=None, help="file with lines NAME:PASSWORD; without it everybody may come in"
    )
    add("--offer", action="append", type=str, help="preset to choose from: a name, or your own YAML file; repeatable")
    add("--workers", type=PositiveInt, default=1, help="processes that make meshes, each with its own models")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--license-policy", dest="license_policy", type=Literal["any", "commercial"], default="any", help="as of run")
    add("--api-only", dest="api_only", action="store_true", help="no page")
    add("--timeout", type=PositiveFloat, default=usual.seconds, help="seconds that one mesh may take")
    add("--max-megabytes", type=PositiveFloat, default=usual.megabytes, help="of one request")
    add("--max-megapixels", type=PositiveFloat, default=usual.megapixels, help="of a photo")
    add("--per-minute", type=PositiveInt, default=usual.per_minute, help="photos of one address")
    add("--max-waiting", type=PositiveInt, default=usual.waiting, help="photos in the queue")
    add(
        "--upload-timeout",
        type=PositiveFloat,
        default=usual.upload_seconds,
        help="seconds that a request may take to arrive",
    )
    add("--keep-minutes", type=PositiveFloat, default=usual.keep_minutes, help="how long results are kept")
    return parser


def _formats() -> tuple[str, ...]:
    """Of mesh files that can be written here."""
    from importlib.util import find_spec

    from epimesh.files.meshes import FORMATS

    return tuple(name for name in FORMATS if not name.startswith("usd") or find_spec("pxr") is not None)


def _presets(config: "Namespace") -> dict[str, tuple[str, ...]]:
    """Settings by the name that visitors see. Each is parsed once, so that a broken one is told now, not to them."""
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.licences import check_policy, weights_and_licences

    found: dict[str, tuple[str, ...]] = {}
    for name in config.offer or _OFFERED:
        pipeline = ImageTo3D.from_preset(name)
        check_policy(pipeline, config.license_policy)
        weights_and_licences(pipeline)
        path = typed_path(name)
        shown, preset = (path.stem, str(path.resolve())) if path.is_file() else (name, name)
        found[shown] = (f"--preset={preset}",)
    return found


def _logins(file: str | None) -> dict[str, str]:
    """Passwords by name."""
    if file is None:
        return {}
    path: Path = typed_path(file)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}).\nExpected a file with lines NAME:PASSWORD.") from error
    pairs = [line.partition(":") for line in lines]
    if not pairs or not all(name and password for name, _, password in pairs):
        raise BadInput(f"{path} is not a list of logins.\nExpected lines NAME:PASSWORD, one at least.")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise BadInput(f"Others can read the passwords in {path}.\nForbid it: chmod 600 {path}")
    return {name: password for name, _, password in pairs}
