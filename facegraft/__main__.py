"""`python -m facegraft` is `facegraft`."""

import sys

from facegraft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
