"""How every recipe is run from a shell: flags, configs, and errors a person can read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from jsonargparse import auto_cli

from clinical_tl.errors import ClinicalTLError
from clinical_tl.saved.run_settings import run_with

from .settings_file import bound_settings, settings_of


def run(recipe: Callable[..., Any], arguments: list[str] | None = None) -> Any:  # noqa: ANN401  (what the recipe returns)
    """Call a recipe with the shell's arguments (or these).

    What the package refuses on purpose ends with its message and exit status 2, a run that was
    told to stop with 143 (SIGTERM) or 130 (Ctrl-C), both without a traceback; anything else is
    a bug and shows one. What a recipe trains is saved with what it was called with beside it.
    """
    bound_settings()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        with run_with(settings_of(recipe, arguments)):
            return auto_cli(recipe, as_positional=False, args=arguments)
    except ClinicalTLError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as stop:
        # Of training it says where the checkpoint is, and carries the signal's status.
        print(str(stop) or "stopped", file=sys.stderr)
        raise SystemExit(getattr(stop, "exit_code", 130)) from None
