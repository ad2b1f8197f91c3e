"""The release gate: every check on a folder before it leaves, and the refusal if one blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.display.table import format_table
from clinical_tl.errors import ConfigError, ReleaseError, shown_ids, shown_path
from clinical_tl.release.check import DataUse, ReleaseCheck
from clinical_tl.release.data_use import check_data_use
from clinical_tl.release.evaluation import check_evaluation
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.identifiers import check_identifiers
from clinical_tl.release.known_words import check_vocabulary
from clinical_tl.release.layout import check_layout
from clinical_tl.release.licence import check_licence
from clinical_tl.release.memorisation import check_memorisation
from clinical_tl.release.shareable import check_encoder

CHECKS = (
    "identifiers", "layout", "encoder", "data_use", "vocabulary", "memorisation", "evaluation",
    "licence",
)  # fmt: skip
OVERRIDES = tuple(name for name in CHECKS if name != "encoder")
"""The checks whose block a person may lift; of memorisation not every one."""


@dataclass(frozen=True)
class ReleaseReport:
    """What the gate found; nothing in it quotes what it found."""

    folder: str
    public: bool
    data_use: DataUse | None
    checks: tuple[ReleaseCheck, ...]

    @property
    def blocked(self) -> tuple[ReleaseCheck, ...]:
        """The checks that keep the folder from leaving."""
        return tuple(check for check in self.checks if check.blocks)

    @property
    def allowed(self) -> bool:
        """Whether the folder may leave."""
        return not self.blocked

    @property
    def licence_override(self) -> str | None:
        """The override by which a person answers for the encoder's licence, as it was given."""
        return next((c.overridden_by for c in self.checks if c.name == "licence"), None)

    def table(self) -> list[dict[str, str]]:
        """Rows for `format_table`, one a check."""
        return [check.row() for check in self.checks]

    def __str__(self) -> str:
        return format_table(self.table())


def check_release(
    folder: str | Path,
    *,
    data_use: DataUse | None,
    public: bool = False,
    train: NotesLike | Sequence[str] | None = None,
    held_out: NotesLike | Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    encoder: str | Path | None = None,
) -> ReleaseReport:
    """Check a folder that `save_pretrained`, `adapt_encoder` or `merge` wrote.

    Nothing is changed or sent. In order: identifiers in every file, the layout, whether others
    can have the encoder, the data's terms, words of the notes, memorisation, the evaluation, the
    encoder's licence.

    Args:
        folder: what is to leave.
        data_use: the terms of the training notes: `"public"`, `"credentialed"` (MIMIC, n2c2)
            or `"local"` (your own patients'); `None` blocks.
        public: whether everybody is to have it.
        train: the training notes, to look for quotations and to audit memorisation.
        held_out: notes like them that training did not see, such as the test notes.
        overrides: names of checks whose block is lifted, or whose warning is answered, each with
            a reason if there is one (`"licence=mit"`); they stay in the report. An encoder that
            nobody else has, and a novelty detector that holds notes, never leave.
        encoder: where the encoder lies that the model was trained from, if not where it was in
            training: the audit of memorisation loads it.

    Raises:
        ArtifactError: there is no folder, or it is empty.
        ConfigError: an unknown `data_use` or override.
    """
    lifted = {override.partition("=")[0]: override for override in overrides}
    unknown = sorted(set(lifted) - set(OVERRIDES))
    if isinstance(overrides, str) or unknown:
        raise ConfigError(
            f"overrides {shown_ids(unknown, 'override') if unknown else 'given as one text'}; "
            f"allowed: a list of check names out of {list(OVERRIDES)}, each with '=reason' if need "
            "be"
        )
    read = ReleaseFolder.read(folder)
    trained = None if train is None else as_notes(train)
    kept = None if held_out is None else as_notes(held_out)
    use = check_data_use(read, data_use, public=public, train=trained, held_out=kept)
    checks = (
        check_identifiers(read, trained),
        check_layout(read),
        check_encoder(read),
        use,
        check_vocabulary(read, data_use, public=public),
        check_memorisation(
            read, data_use, public=public, train=trained, held_out=kept, encoder=encoder
        ),
        check_evaluation(read, public=public, train=trained, held_out=kept),
        check_licence(read, public=public),
    )
    return ReleaseReport(
        str(folder),
        public,
        data_use,
        tuple(
            replace(check, overridden_by=lifted[check.name])
            if check.status in ("block", "warn") and check.liftable and check.name in lifted
            else check
            for check in checks
        ),
    )


def require_release(
    folder: str | Path,
    *,
    repo_private: bool,
    data_use: DataUse | None,
    overrides: Sequence[str] = (),
    encoder: str | Path | None = None,
    train: NotesLike | Sequence[str] | None = None,
    held_out: NotesLike | Sequence[str] | None = None,
) -> ReleaseReport:
    """`check_release` before a push: the report if the folder may leave.

    Raises `ReleaseError` where a check blocks, with each reason and override.
    """
    report = check_release(
        folder,
        data_use=data_use,
        public=not repo_private,
        train=train,
        held_out=held_out,
        overrides=overrides,
        encoder=encoder,
    )
    if report.allowed:
        return report
    lines = [f"  {check.name}: {check.reason}" for check in report.blocked]
    names = [check.name for check in report.blocked if check.liftable]
    mend = f", or take responsibility with overrides={names}" if names else ""
    raise ReleaseError(
        "\n".join(
            [
                f"{shown_path(folder)} was not released: {len(lines)} of {len(report.checks)} "
                "checks block",
                *lines,
                f"To mend: remove the causes{mend}. Nothing was sent.",
            ]
        )
    )
