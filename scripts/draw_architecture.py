"""Draws which rooms of the package import which, from the imports themselves: docs/pictures/architecture.svg.

    python scripts/draw_architecture.py             # draws, and prints the numbers
    python scripts/draw_architecture.py --count     # only prints; --root looks at another copy of the package

A room is a folder, or a module on top of the package. That a folder's `__init__` offers what lies deeper is no circle.
"""

import argparse
import ast
import re
from collections import Counter
from html import escape
from pathlib import Path

HERE = Path(__file__).parent.parent
PICTURE = HERE / "docs" / "pictures" / "architecture.svg"
WIDTH, BOX, GAP, ROW = 900, (120, 34), 16, 78
STYLE = """
svg{font:13px system-ui,sans-serif}rect{fill:#eef4f7;stroke:#0b6e99;rx:6px}text{fill:#123;text-anchor:middle}
path{fill:none;stroke:#0b6e99;stroke-opacity:.35}
"""


def imports(root: Path) -> Counter[tuple[str, str]]:
    """How many import statements lead from one room (as a dotted path) to another."""
    found: Counter[tuple[str, str]] = Counter()
    for file in sorted((root / "epimesh").rglob("*.py")):
        if file.parent == root / "epimesh" and file.stem.startswith("__"):
            continue  # it only offers the public names
        here = _room(root, ".".join(file.relative_to(root).with_suffix("").parts))
        for node in ast.walk(ast.parse(file.read_text())):
            names = _imported(node)
            rooms = {_room(root, name) for name in names}
            found.update((here, there) for there in rooms if here and there and there != here)
    return found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("epimesh"):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return (
        [alias.name for alias in node.names if alias.name.startswith("epimesh")] if isinstance(node, ast.Import) else []
    )


def _room(root: Path, name: str) -> str | None:
    """The folder that holds what is imported, or the module on top of the package."""
    parts = name.split(".")
    while parts and not root.joinpath(*parts).is_dir():
        if len(parts) == 2 and root.joinpath(*parts).with_suffix(".py").is_file():
            break
        parts.pop()
    return ".".join(parts) if len(parts) > 1 else None


def circles(arrows: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of rooms that import each other."""
    mutual = sorted((one, other) for one, other in arrows if one < other and (other, one) in arrows)
    return [(one, other) for one, other in mutual if not other.startswith(f"{one}.")]


def layers() -> list[list[str]]:
    """The rooms in rows, as the contract of import-linter in pyproject.toml has them."""
    text = re.search(r"^layers = \[\n(.*?)^\]", (HERE / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert text is not None
    rows = [re.findall(r"epimesh\.([\w.]+)", line) for line in text[1].splitlines()]
    folders = [[name for name in row if (HERE / "epimesh" / name.replace(".", "/")).is_dir()] for row in rows]
    modules = [name for row in rows for name in row if (HERE / "epimesh" / f"{name.replace('.', '/')}.py").is_file()]
    nouns = [name for name in modules if "." not in name]
    return [*[row for row in folders if row], [f"on top: {', '.join(nouns)}"]]


def drawing(arrows: set[tuple[str, str]]) -> str:
    """The rows of rooms, and an arrow for every pair of rooms of which one imports the other."""
    places: dict[str, tuple[float, float]] = {}
    boxes = []
    for number, row in enumerate(layers()):
        size = 760 if row[0].startswith("on top") else BOX[0]
        left = (WIDTH - len(row) * size - (len(row) - 1) * GAP) / 2
        for place, name in enumerate(row):
            x, y = left + place * (size + GAP), 12 + number * ROW
            places["" if size > BOX[0] else name] = (x + size / 2, y)
            boxes.append(
                f'<rect x="{x:.0f}" y="{y}" width="{size}" height="{BOX[1]}"/>'
                f'<text x="{x + size / 2:.0f}" y="{y + 22}">{escape(name)}</text>'
            )
    lines = [_line(places, one, other) for one, other in sorted(_drawn(arrows, places))]
    height = 12 + len(layers()) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="rooms of epimesh and their imports"><style>{STYLE}</style>{"".join([*lines, *boxes])}</svg>\n'
    )


def _drawn(arrows: set[tuple[str, str]], places: dict[str, tuple[float, float]]) -> set[tuple[str, str]]:
    """The arrows between the boxes that there are: inner rooms count as the box they lie in."""
    short = {(_box(one, places), _box(other, places)) for one, other in arrows}
    return {(one, other) for one, other in short if one != other and one in places and other in places}


def _box(room: str, places: dict[str, tuple[float, float]]) -> str:
    name = room.removeprefix("epimesh.")
    while name and name not in places:
        name = name.rpartition(".")[0]
    return name  # "" is the box of the modules on top


def _line(places: dict[str, tuple[float, float]], one: str, other: str) -> str:
    (x1, y1), (x2, y2) = places[one], places[other]
    y1, middle = y1 + BOX[1], (y1 + BOX[1] + y2) / 2
    return f'<path d="M{x1:.0f} {y1} C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2}"/>'


def main() -> None:
    """Draws, or only counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=HERE)
    parser.add_argument("--count", action="store_true")
    given = parser.parse_args()
    counted = imports(given.root)
    rooms = {room for pair in counted for room in pair}
    print(f"{len(rooms)} rooms, {len(counted)} arrows between them, {sum(counted.values())} imports")
    print(f"rooms that import each other: {circles(set(counted)) or 'none'}")
    if not given.count:
        PICTURE.write_text(drawing(set(counted)))
        print(PICTURE)


if __name__ == "__main__":
    main()
