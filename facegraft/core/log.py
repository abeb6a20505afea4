"""Logging set-up for commands. Libraries only call `logging.getLogger(__name__)`."""

import logging


def set_up_logging(*, debug: bool) -> None:
    """Sends warnings (with `debug`, everything) to standard error."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
