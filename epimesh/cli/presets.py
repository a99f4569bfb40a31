"""`epimesh presets`: what there is to choose from."""

import json

from jsonargparse import ArgumentParser

from epimesh.pipeline.presets import DEFAULT, description, find, names


def main(arguments: list[str]) -> int:
    """Lists the presets, or prints one."""
    parser = ArgumentParser(
        prog="epimesh presets", exit_on_error=False, description="Lists the presets, or shows the YAML of one."
    )
    parser.add_argument("name", nargs="?", help="show this preset")
    parser.add_argument("--json", action="store_true", help="print for machines")
    config = parser.parse_args(arguments)
    if config.name:
        print(find(config.name).read_text(encoding="utf-8"))
        return 0
    listed = {name: description(name) for name in names()}
    if config.json:
        print(json.dumps({"default": DEFAULT, "presets": listed}))
        return 0
    for name, what in listed.items():
        print(f"{name}{' (default)' if name == DEFAULT else ''}\n    {what}")
    print("\nUse one:    epimesh run photo.jpg --preset NAME")
    print("Change it:  epimesh presets NAME > mine.yaml, edit it, epimesh run photo.jpg --preset mine.yaml")
    return 0
