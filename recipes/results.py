"""Rows of results in a JSON file: what is there is not run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, ConfigError
from clinical_tl.storage.replacement import replace_text
from clinical_tl.storage.sealed_json import read_json, read_object
from clinical_tl.training.config import FREE, TrainingConfig

_MEND = "put a copy of it in its place, or name another output to run all rows again"


class Results:
    """A list of rows on disk, one row a finished run; complete after every row.

    `settings` are what all rows share and no row says: they are kept beside the rows, and a
    folder of other settings is refused, since its rows would pass for these. A setting that
    was not given before is added.
    """

    def __init__(self, file: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        self.file = Path(file)
        if settings is not None:
            self._check(_plain(settings))
        self.rows: list[dict[str, Any]] = []
        if self.file.exists():
            found = read_json(self.file, mend=_MEND)
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise ArtifactError(f"{self.file} holds no rows of results; {_MEND}")
            self.rows = found

    def has(self, key: Mapping[str, Any]) -> bool:
        """Whether a row agrees with all of `key`."""
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Write a row; a kill leaves the file as it was before or after."""
        self.rows.append(row)
        _write(self.file, self.rows)

    def _check(self, settings: dict[str, Any]) -> None:
        kept = self.file.with_name("settings.json")
        saved: dict[str, Any] = {}
        if kept.exists():
            saved = read_object(kept, mend=_MEND)
        elif self.file.exists():
            raise ConfigError(
                f"{self.file} does not say what its rows were run with; choose another output"
            )
        differing = sorted(name for name in saved if saved[name] != settings.get(name, saved[name]))
        if differing:
            raise ConfigError(
                f"{self.file.parent} holds results of another {', '.join(differing)}, which would "
                "pass for these; choose another output"
            )
        _write(kept, {**saved, **settings})


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back, without those of training that change no score."""
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if is_dataclass(value) and not isinstance(value, type):
            free = FREE if isinstance(value, TrainingConfig) else frozenset[str]()
            plain[name] = {k: v for k, v in asdict(value).items() if k not in free}
            if isinstance(value, TrainingConfig):
                # What ran, and not that it was left open: another machine may choose otherwise.
                from clinical_tl.network.device import choose_device, resolve_precision

                plain[name]["precision"] = resolve_precision(value.precision, choose_device())
        else:
            plain[name] = value
    found: dict[str, Any] = json.loads(json.dumps(plain, default=str))
    return found


def _write(file: Path, value: object) -> None:
    replace_text(file, json.dumps(value, indent=1) + "\n")
