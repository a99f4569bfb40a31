"""`python -m epimesh` is the `epimesh` command."""

import sys

from epimesh.cli import main

sys.exit(main())
