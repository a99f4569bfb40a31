"""`python -m epimesh` is the `epimesh` command."""

import sys
from contextlib import suppress
from pathlib import Path

with suppress(OSError):
    # `python -m` puts the folder one happens to be in before all others. A preset names classes, and those of a file
    # that lies there by chance, perhaps beside a downloaded preset, must not run: PYTHONPATH=. asks for them.
    if sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]

from epimesh.cli import main

sys.exit(main())
