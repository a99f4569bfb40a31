"""`epimesh convert`: published checkpoints into folders that the presets read."""

from pathlib import Path

from jsonargparse import ArgumentParser

from epimesh.weights.published import PUBLISHED, folder_of

_DESCRIPTION = """Turns a published checkpoint into a folder in diffusers format.

Only tensors are read; a file with anything else inside is refused and not run. Every key and shape is checked before
anything is written, and nothing is left behind if the file does not fit. Zero-1-to-3 checkpoints give their moving
averages (EMA), as the published demo uses them.

examples: epimesh convert syncdreamer syncdreamer-pretrain.ckpt
          epimesh convert zero123 zero123-xl.ckpt weights/zero123-xl --half
"""
# The last of several models that one command converts is its default.
_COMMANDS = {model.command: name for name, model in PUBLISHED.items() if model.command}


def main(arguments: list[str]) -> int:
    """Converts one checkpoint."""
    parser = ArgumentParser(prog="epimesh convert", exit_on_error=False, description=_DESCRIPTION)
    parser.add_argument("model", choices=sorted(_COMMANDS), help="what the checkpoint is of")
    parser.add_argument("checkpoint", type=str, help=".ckpt, .pth or .safetensors")
    parser.add_argument("out", type=str | None, nargs="?", default=None, help="new folder (default: the preset's)")
    parser.add_argument("--half", action="store_true", help="store 16-bit numbers: half the size, slightly less exact")
    parser.add_argument("--raw", action="store_true", help="Zero-1-to-3: the last weights instead of their averages")
    config = parser.parse_args(arguments)
    name = _COMMANDS[config.model]
    out = Path(config.out).expanduser() if config.out else folder_of(name)
    print(_converted(config.model, Path(config.checkpoint).expanduser(), out, config.half, config.raw))
    default = out == folder_of(name)
    print(f"Use it:  epimesh run photo.jpg --preset {name}" + ("" if default else _settings(out)))
    return 0


def _converted(model: str, checkpoint: Path, out: Path, half: bool, raw: bool) -> str:
    import torch

    from epimesh.conversion.checkpoint import open_checkpoint
    from epimesh.conversion.convert import plan_syncdreamer, plan_zero123, refuse_existing, write
    from epimesh.conversion.getting import card

    refuse_existing(out)
    tensors = open_checkpoint(checkpoint)
    if model == "syncdreamer":
        plan = plan_syncdreamer(tensors, checkpoint.name)
    else:
        plan = plan_zero123(tensors, checkpoint.name, raw=raw)
    made_by = card(PUBLISHED[_COMMANDS[model]], f"epimesh convert {model} {checkpoint.name}")
    write(plan, tensors, out, made_by, torch.float16 if half else torch.float32)
    return f"{len(plan.converted)} of {len(tensors)} tensors converted, the others accounted for; written to {out}"


def _settings(out: Path) -> str:
    return f" --views.weights {out} --decode.weights {out / 'vae'}"
