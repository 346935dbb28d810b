"""``python -m dreamgym``: the commands, where their script is not on the path."""

from __future__ import annotations

import sys

from dreamgym.cli import main

if __name__ == "__main__":
    sys.exit(main())
