"""What a saved model is for: its task and windows, as `task.json` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_tl.boundary import refusing
from clinical_tl.errors import ArtifactError, shown_path
from clinical_tl.tasks import TASKS
from clinical_tl.text.windows import Windowing


def saved_task(folder: Path, description: Mapping[str, Any]) -> tuple[Any, Windowing]:
    """The task and the windows of a description that `read_artifact` has checked.

    Raises `ArtifactError` where it describes none that this version knows.
    """
    with refusing(
        ArtifactError,
        f"{shown_path(folder)}: task.json does not describe a task this version knows, which are "
        f"{', '.join(TASKS)}",
        "save the model again",
        own=True,
    ):
        task: Any = TASKS[description["task"]["kind"]].from_dict(description["task"])
        return task, Windowing(**description["windowing"])
