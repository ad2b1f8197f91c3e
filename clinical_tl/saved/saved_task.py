"""What a saved model is for: its task and windows, as `task.json` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, refusing, shown_path
from clinical_tl.tasks.task import Task, task_from_dict
from clinical_tl.text.windows import Windowing


def saved_task(folder: Path, description: Mapping[str, Any]) -> tuple[Task, Windowing]:
    """The task and the windows of a description that `read_artifact` has checked.

    Raises `ArtifactError` where it describes none that this version knows.
    """
    with refusing(
        ArtifactError,
        f"{shown_path(folder)}: task.json does not describe a task this version knows",
        "save the model again",
        own=True,
    ):
        return task_from_dict(description["task"]), Windowing(**description["windowing"])
