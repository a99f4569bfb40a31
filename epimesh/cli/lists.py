"""Lists as people type them: `--formats glb obj`, `--formats glb,obj`, and `[glb,obj]` as before.

Brackets are patterns to zsh, which refuses a command whose pattern fits no file.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from epimesh.files.formats import NEEDED

Belongs = Callable[[str], bool]


def with_lists(arguments: Sequence[str], options: Collection[str], belongs: Belongs | None = None) -> list[str]:
    """The arguments with the values of list options in brackets, as the parser wants them.

    Args:
        arguments: of the command line.
        options: that take lists, e.g. "--formats".
        belongs: whether a second or later word is still of the list; all words up to the next option if not given.
    """
    written: list[str] = []
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in options:
            written.append(f"{option}{equals}{value}")
            continue
        words = [value] if equals else list(_taken(rest, belongs))
        del rest[: 0 if equals else len(words)]
        written.append(f"{option}={_as_list(words)}" if words else option)
    return written


def with_formats(arguments: Sequence[str]) -> list[str]:
    """The arguments with the formats in brackets; photos behind them are none of the list."""
    return with_lists(arguments, ("--formats", "--format"), lambda word: word.lower().lstrip(".") in NEEDED)


def _taken(rest: Sequence[str], belongs: Belongs | None) -> Iterator[str]:
    """The words that belong to an option: the first one always, unless it is an option itself."""
    for number, word in enumerate(rest):
        if _is_option(word) or (number > 0 and belongs is not None and not belongs(word)):
            return
        yield word


def _is_option(word: str) -> bool:
    return word.startswith("-") and not word[1:2].isdigit()


def _as_list(words: Sequence[str]) -> str:
    if len(words) == 1 and words[0].startswith("["):
        return words[0]
    parts = [part for word in words for part in ([word] if Path(word).exists() else word.split(",")) if part]
    return "[" + ",".join(_quoted(part) for part in parts) + "]"


def _quoted(word: str) -> str:
    """Numbers stay numbers; words with characters that mean something in YAML are quoted."""
    plain = word.replace("-", "").replace("_", "").replace(".", "").replace("/", "").isalnum()
    return word if plain else json.dumps(word, ensure_ascii=False)
