"""Looks at a preset of strangers before anything else does: small, flat, plain YAML that only fills slots."""

from pathlib import Path

import yaml

from epimesh.errors import BadInput

_LARGEST_BYTES = 200_000  # the longest that ships has two thousand
_DEEPEST = 40
SLOTS = ("read", "views", "decode", "reconstruct", "refine", "mesh", "texture")
"""The slots of the pipeline, in order."""

_OTHERS = ("seed", "device", "precision", "max_memory", "formats", "fit", "up", "longest_side")


def check_preset(path: Path) -> None:
    """Refuses files that are no presets, and those that could do more than describe a pipeline.

    A preset names classes, which are imported: whoever runs a preset trusts it like a program. It cannot say where
    results are written, and it cannot make the parser itself run out of time or memory.

    Raises:
        BadInput: the file is too large, no YAML, nested too deeply, uses aliases, or sets what no preset may.
    """
    content = _loaded(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds {type(content).__name__}, but a preset is a mapping of slots to stages.")
    unknown = [str(key)[:60] for key in content if str(key).partition(".")[0] not in (*SLOTS, *_OTHERS)]
    if unknown:
        raise BadInput(
            f"{path} sets {', '.join(unknown[:5])}, which is not a preset's to say.\n"
            f"Expected slots ({', '.join(SLOTS)}) or {', '.join(_OTHERS)}; name outputs on the command line."
        )


def _loaded(path: Path) -> object:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise BadInput(f"{path} has {path.stat().st_size} bytes, expected at most {_LARGEST_BYTES}: a preset.")
        text = path.read_bytes().decode("utf-8-sig")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise BadInput(f"{path} uses the YAML alias '*{event.anchor}'.\nPresets are plain: write it out.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise BadInput(f"{path} is nested more than {_DEEPEST} deep.\nPresets are flat: see `epimesh presets`.")
        return yaml.safe_load(text)
    except (OSError, yaml.YAMLError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{path} is not a YAML file ({str(error)[:200]}).\nExpected a preset: see `epimesh presets`."
        ) from error
