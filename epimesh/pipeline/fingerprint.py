"""Short keys that change whenever anything that shapes a result changes."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epimesh import weights
from epimesh.errors import BadInput
from epimesh.pipeline.contracts import Stage, settings
from epimesh.pipeline.renamed import key_path


def fingerprint(*parts: Any) -> str:
    """A hexadecimal key of stages, files, numbers and words. Stages count with class, version, settings and weights."""
    return hashlib.sha256(_described(parts).encode()).hexdigest()


def file_fingerprint(path: Path) -> str:
    """The key of a file: the hash of its content, not of its name or date.

    Raises:
        BadInput: the file is missing or cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror or error}).\nGive the path of a file that exists and may be read."
        ) from error


def weights_of(stage: Stage[Any]) -> list[str]:
    """The weights sources named by the settings of a stage, nested stages included."""
    found: list[str] = []
    for name, value in settings(stage).items():
        if isinstance(value, Stage):
            found += weights_of(value)
        elif name in stage.weights_settings and value is not None:
            found.append(weights.source_of(value) if isinstance(value, Path) else value)
    return found


def _described(value: Any) -> str:
    if isinstance(value, Stage):
        kind = f"{key_path(type(value))}/{value.version}"
        named = {name: _setting(value, name, given) for name, given in settings(value).items()}
        return f"{kind}({_described(named)})"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_described(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, Path):
        return "file:" + (file_fingerprint(value) if value.is_file() else str(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_described(part) for part in value) + "]"
    return f"{type(value).__name__}:{value!r}"


def _setting(stage: Stage[Any], name: str, value: Any) -> Any:
    if name in stage.weights_settings and isinstance(value, str):
        return f"weights:{weights.identity(value, stage.weights_parts)}"
    return value
