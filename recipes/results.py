"""Rows of results in a JSON file: what is there is not run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Results:
    """A list of rows on disk, one row a finished run; complete after every row."""

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self.rows: list[dict[str, Any]] = (
            json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else []
        )

    def has(self, key: Mapping[str, Any]) -> bool:
        """Whether a row agrees with all of `key`."""
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Write a row; a kill leaves the file as it was before or after."""
        self.rows.append(row)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".tmp")
        draft.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.file)
