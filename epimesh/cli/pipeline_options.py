"""What `run` and `reconstruct` share: their options are read, checked and explained before torch is imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from epimesh.cli.lists import with_formats
from epimesh.errors import BadInput
from epimesh.files.formats import NEEDED
from epimesh.pipeline.class_source import stage_source
from epimesh.pipeline.early_check import Override, check_overrides, classes_of, overrides_in
from epimesh.pipeline.layers import layered, without_overridden
from epimesh.pipeline.parser import split
from epimesh.pipeline.preset_file import SLOTS
from epimesh.pipeline.presets import settings_of

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_WIDTH = 100


@dataclass(frozen=True)
class PipelineCommand:
    """A command with a pipeline.

    Args:
        name: of the command.
        words: what the short help says first; usage and one sentence.
        description: what the whole help says first.
        slots: that the command fills; the others are not offered.
        preset: the default one.
        add_own: adds the options that are no settings of stages.
        rare: options that only `--help-all` shows.
        shortcuts: of stages' settings, with a word on each.
    """

    name: str
    words: str
    description: str
    slots: tuple[str, ...]
    preset: str
    add_own: "Callable[[ArgumentParser], None]"
    rare: tuple[str, ...]
    shortcuts: str

    def own_parser(self) -> "ArgumentParser":
        """The parser of the options that are no settings of stages. Needs no torch."""
        from argparse import RawDescriptionHelpFormatter

        from jsonargparse import ArgumentParser, DefaultHelpFormatter

        class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
            """Keeps the line breaks of the description."""

        parser = ArgumentParser(
            prog=f"epimesh {self.name}", description=self.description, exit_on_error=False, formatter_class=Formatter
        )
        add_common(parser)
        self.add_own(parser)
        return parser

    def parser(self) -> "ArgumentParser":
        """The whole parser, which imports all stages."""
        from argparse import SUPPRESS

        from epimesh.pipeline.image_to_3d import ImageTo3D
        from epimesh.pipeline.parser import add_pipeline_arguments

        parser = self.own_parser()
        add_pipeline_arguments(parser, ImageTo3D, self.preset)
        for action in parser._actions:
            slot = action.dest.partition(".")[0]
            if slot in SLOTS:
                action.required = False  # every preset fills it
                action.help = action.help if slot in self.slots else SUPPRESS
        return parser

    def early(self, arguments: Sequence[str]) -> "tuple[Namespace, list[str]] | None":
        """The options of the command itself, and all arguments as the whole parser wants them.

        Everything that the sources of the stages tell is checked. None: help was asked for, and has been shown.

        Raises:
            BadInput: a mistake, by the name that was typed.
        """
        from jsonargparse import ArgumentError

        arguments = with_formats(arguments)
        presets, others = split(arguments)
        if "--help-all" in arguments or any(_asks_for_stage(word) for word in arguments):
            self.parser().parse_args(["--help" if word == "--help-all" else word for word in others])
            return None
        merged: dict[str, Any] = {}
        for name in presets or [self.preset]:
            merged = layered(merged, settings_of(name))
        if "-h" in arguments or "--help" in arguments:
            print(self.short_help(presets or [self.preset], merged))
            return None
        overrides, own = overrides_in(arguments, SLOTS)
        self._check_slots(overrides)
        check_overrides(without_overridden(merged, others), overrides)
        try:
            return self.own_parser().parse_args(split(own)[1]), arguments
        except ArgumentError as error:
            raise BadInput(f"{error}\nSee: epimesh {self.name} --help") from error

    def _check_slots(self, overrides: Sequence[Override]) -> None:
        for override in overrides:
            if (slot := override.name.partition(".")[0]) not in self.slots:
                raise BadInput(
                    f"{override.typed} is a setting of '{slot}', which epimesh {self.name} does not use.\n"
                    f"Expected settings of: {', '.join(self.slots)}."
                )

    def short_help(self, presets: Sequence[str], layer: dict[str, Any]) -> str:
        """What there is to set, in as many lines as one can read."""
        lines = [self.words, ""]
        for action in self.own_parser()._actions:
            if action.option_strings and action.dest not in (*self.rare, "help"):
                lines.append(_line(", ".join(action.option_strings[:2]), str(action.help)))
        lines += [_line("--preset NAME", f"{self.preset} if not given; epimesh presets lists them"), self.shortcuts]
        lines.append(f"Stages of {', '.join(presets)}, with their settings (--SLOT.SETTING VALUE):")
        for slot, path in classes_of(layer):
            if slot in self.slots and (stage := stage_source(path)) is not None:
                lines.append(_line(f"{slot:<11} {stage.name}", " ".join(stage.settings), 28))
        lines.append(f"More: epimesh {self.name} --SLOT.help STAGE for one stage, --help-all for everything.")
        return "\n".join(lines)


def _asks_for_stage(word: str) -> bool:
    return word.startswith("--") and word.partition("=")[0].endswith(".help")


def _line(name: str, text: str, width: int = 22) -> str:
    line = f"  {name:<{width}} {' '.join(text.split())}"
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4].rpartition(' ')[0]} ..."


def add_common(parser: "ArgumentParser") -> None:
    """The options that `run` and `reconstruct` have in common."""
    add = parser.add_argument
    add("-o", "--out", "--output", type=str | None, default=None, help="folder of the results, or a mesh file")
    add("--formats", "--format", type=list[str], default=["glb"], help=f"files to write: {' '.join(NEEDED)}")
    add("--seed", type=int, default=0, help="same seed, same result")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--from", dest="redo_from", type=str | None, default=None, help="make this slot and all later ones again")
    add(
        "--license-policy",
        dest="license_policy",
        type=Literal["any", "commercial"],
        default="any",
        help="commercial refuses weights whose licence does not let results be sold",
    )
    add("--json", action="store_true", help="print run.json on stdout, errors as JSON, too; no progress")
    add("-q", "--quiet", action="store_true", help="no progress, only results and errors")
    add("-v", "--verbose", action="store_true", help="first print all settings of the run")


def add_precision(parser: "ArgumentParser") -> None:
    """Precision and memory of the networks."""
    parser.add_argument(
        "--precision",
        type=Literal["auto", "fp32", "fp16", "bf16"],
        default="auto",
        help="of the networks; auto is fp16 on a GPU, fp32 on a CPU",
    )
    parser.add_argument(
        "--max-memory",
        dest="max_memory",
        type=str | None,
        default=None,
        help="e.g. 4GB: SyncDreamer and EpipolarDecoder then run fewer views at once, with the same result (other "
        "stages ignore it)",
    )
