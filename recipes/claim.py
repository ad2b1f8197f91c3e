"""What a recipe writes into: tried, and kept for this run, before the work begins."""

from __future__ import annotations

import atexit
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from clinical_tl.data.predictions import predictions_format
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.storage.folder_lock import holding
from clinical_tl.storage.output import require_file, require_folder
from clinical_tl.training.config import TrainingConfig

_held: dict[Path, ExitStack] = {}


def claim_output(folder: str | Path) -> None:
    """Make the folder if need be, and keep other runs out of it until this process ends.

    Recipes that call one another may share it. Of several processes of one launch the first
    holds it. Raises `OutputError` where it can't be written, or another run is at work there.
    """
    place = require_folder(folder)
    if place in _held or os.environ.get("RANK", "0") != "0":
        return
    held = ExitStack()
    held.enter_context(holding(folder))
    atexit.register(held.close)
    _held[place] = held


def claim_predictions(file: str, output_format: str | None) -> None:
    """Try the file that predictions of notes will be written to, before the work begins.

    Raises `OutputError` where it can't be written, and `ConfigError` for a format that there
    isn't, or that its name does not tell.
    """
    require_file(file)
    try:
        predictions_format(Path(file), output_format, has_notes=True)
    except ConfigError as error:
        # As the recipes call it: how notes are read has a format, too.
        said = re.sub(r"\bformat=", "output_format=", str(error))
        raise ConfigError(said) from None


def with_checkpoints(training: TrainingConfig, folder: str) -> TrainingConfig:
    """The settings with `folder`, in a recipe's output, for the checkpoints.

    Raises `ConfigError` where the settings name another, which would be passed over in silence.
    """
    if training.output_dir is not None:
        raise ConfigError(
            f"training.output_dir: checkpoints are kept in {shown_path(folder)}; leave it out, and "
            "name another folder by output=…"
        )
    return replace(training, output_dir=folder)
