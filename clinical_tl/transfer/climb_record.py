"""What a climb of the ladder has found, on disk, so that an interrupted one goes on there.

A file for each fold of each rung: what the rung's predictions add to the scores of each held-out
note, and how long that took. No text and no id of a note is in it, but what a note is labelled and
what was predicted can be told from counts: it is as confidential as predictions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ArtifactError, ConfigError, refusing, shown_path
from clinical_tl.metrics.note_counts import NoteCounts
from clinical_tl.network.device import choose_device, resolve_precision
from clinical_tl.network.lora import LoRA
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.processes import on_main_process
from clinical_tl.storage.replacement import replacing_file
from clinical_tl.storage.sealed_json import read_sealed, write_sealed
from clinical_tl.training.config import FREE
from clinical_tl.training.fingerprint import digest, plain_settings, whole_note
from clinical_tl.version import __version__

if TYPE_CHECKING:
    from clinical_tl.network.adapter import Adapter
    from clinical_tl.schema import Note
    from clinical_tl.transfer.rungs import Means

logger = logging.getLogger(__name__)

SETTINGS_FILE = "settings.json"
FOLD_FILES = "*-fold-*.json"


@dataclass(frozen=True)
class ClimbedFold:
    """What a rung said of a fold's notes, as counts, and the seconds that it took."""

    counts: NoteCounts
    seconds: float


@dataclass(frozen=True)
class ClimbRecord:
    """The folds that are climbed, by rung and number; written to `folder`, where there is one."""

    folder: Path | None = None
    folds: dict[tuple[str, int], ClimbedFold] = field(default_factory=dict)
    of_settings: str = ""
    """The settings' digest, which every file has: what another climb has left is not read."""

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> ClimbRecord:
        """That of an earlier climb with the same settings in the folder, or a new one.

        Without `resume` the earlier one is removed. Raises `ConfigError` where it had other
        settings, `ArtifactError` where these can't be read, and `OutputError` where nothing can be
        written there.
        """
        return on_main_process(lambda: cls._opened(folder, settings, resume=resume))

    @classmethod
    def _opened(cls, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> ClimbRecord:
        require_folder(folder)
        if not resume:
            # The settings last: without them folds would be nobody's.
            for file in (*folder.glob(FOLD_FILES), folder / SETTINGS_FILE):
                file.unlink(missing_ok=True)
        own = digest(json.dumps(settings, sort_keys=True))
        kept = folder / SETTINGS_FILE
        if not kept.exists():
            _write(kept, settings)
        saved = read_sealed(kept, mend="start over with resume=False, or name another output_dir")
        differing = sorted(
            name for name in {*saved, *settings} if saved.get(name) != settings.get(name)
        )
        if differing:
            raise ConfigError(
                f"{shown_path(folder)} holds a climb with other {', '.join(differing)}; use "
                "another output_dir, or resume=False to start over"
            )
        found = {}
        for file in sorted(folder.glob(FOLD_FILES)):
            mend = "it is climbed again"
            try:
                row = read_sealed(file, mend=mend)
                with refusing(ArtifactError, f"{shown_path(file)} holds no climbed fold", mend):
                    if row["settings"] != own:
                        raise ArtifactError(f"{shown_path(file)} is of another climb; {mend}")
                    climbed = ClimbedFold(NoteCounts.from_dict(row["counts"]), row["seconds"])
                    found[row["rung"], row["fold"]] = climbed
            except ArtifactError as error:
                logger.warning("%s", error)
        if found:
            logger.info("going on with the climb in %s: %d folds", shown_path(folder), len(found))
        return cls(folder, found, own)

    def keep(self, rung: str, fold: int, climbed: ClimbedFold) -> None:
        """Note a fold down; a kill leaves the record as it was before or after.

        Raises `OutputError` where it can't be written.
        """
        self.folds[rung, fold] = climbed
        if self.folder is None:
            return
        file = self.folder / f"{file_name(rung)}-fold-{fold + 1}.json"
        row = {
            "settings": self.of_settings,
            "rung": rung,
            "fold": fold,
            "seconds": climbed.seconds,
            "counts": climbed.counts.to_dict(),
        }
        on_main_process(lambda: _write(file, row))

    def of_rung(self, rung: str) -> list[ClimbedFold]:
        """Its folds from the first on, as far as they are climbed."""
        found: list[ClimbedFold] = []
        while (rung, len(found)) in self.folds:
            found.append(self.folds[rung, len(found)])
        return found

    def seconds(self, rungs: Collection[str]) -> float:
        """What all folds of these rungs took."""
        return sum(fold.seconds for (rung, _), fold in self.folds.items() if rung in rungs)


def file_name(rung: str) -> str:
    """A rung's name as a part of a file's."""
    return rung.replace(" ", "-")


def climb_settings(
    means: Means, folds: Sequence[Sequence[Note]], dev: Sequence[Note] | None
) -> dict[str, Any]:
    """What two climbs must share for one to go on where the other stopped, as hashes."""
    config = {name: value for name, value in asdict(means.config).items() if name not in FREE}
    parts = {
        "encoder": means.frozen.fingerprint,
        "adapter": _adapter(means.adapter),
        "rules": [asdict(rule) for rule in means.rules],
        "training settings": config,
        "precision": resolve_precision(means.config.precision, choose_device()),
        "task": means.task.to_dict(),
        "training notes": [list(map(whole_note, fold)) for fold in folds],
        "dev notes": None if dev is None else list(map(whole_note, dev)),
    }
    hashed = {
        name: digest(json.dumps(part, sort_keys=True, default=str)) for name, part in parts.items()
    }
    # Another version may score otherwise.
    return {"version of clinical_tl": __version__, **hashed}


def _adapter(adapter: Adapter | None) -> Any:  # noqa: ANN401  (JSON values)
    adapter = adapter or LoRA()
    if isinstance(adapter, str):
        return adapter
    if isinstance(adapter, LoRA):
        return asdict(adapter)
    return plain_settings(adapter.to_dict())


def _write(file: Path, row: Mapping[str, Any]) -> None:
    with replacing_file(file) as draft:
        write_sealed(draft, row)
