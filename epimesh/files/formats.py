"""The names of mesh formats, for those who must not wait for the code that writes them."""

from collections.abc import Sequence
from importlib.util import find_spec

from epimesh.errors import BadInput, MissingExtra

_PLAIN = ("glb", "gltf", "obj", "ply", "stl", "3mf")
NEEDED: dict[str, str | None] = {**dict.fromkeys(_PLAIN), "usd": "pxr", "usdz": "pxr"}
"""Every format, and the module without which it cannot be written."""


def known_formats(names: Sequence[str]) -> list[str]:
    """The formats as they are called here: lower case, without a dot.

    Raises:
        BadInput: one is unknown, or there is none.
        MissingExtra: one needs a package that is not installed.
    """
    plain = [name.lower().lstrip(".") for name in names]
    unknown = [name for name in plain if name not in NEEDED]
    if unknown or not plain:
        raise BadInput(
            f"Cannot write {', '.join(unknown) or 'nothing'}.\n"
            f"Expected --formats from: {', '.join(NEEDED)}, such as --formats glb obj."
        )
    for name in plain:
        if (module := NEEDED[name]) is not None and find_spec(module) is None:
            raise MissingExtra(
                f"Writing {name} needs an optional package that is not here.\n"
                "Install it with: pip install 'epimesh[usd]', or choose another of --formats."
            )
    return plain
