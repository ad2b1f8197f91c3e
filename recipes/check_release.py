"""The release gate on its own: what would keep a trained folder from leaving, and why."""

from __future__ import annotations

from typing import Literal

from clinical_tl.data.read_options import ReadOptions
from clinical_tl.errors import ReleaseError, shown_path
from clinical_tl.release.gate import check_release

from .command_line import run
from .gate_notes import gate_notes


def main(
    model: str,
    data_use: Literal["public", "credentialed", "local"] | None = None,
    public: bool = False,
    corpus: str | None = None,
    train: str | None = None,
    held_out: str | None = None,
    read: ReadOptions = ReadOptions(),
    overrides: list[str] | None = None,
    encoder: str | None = None,
) -> bool:
    """Check a saved model or adapted encoder before it is pushed; nothing is sent.

    Ends with exit status 2 where a check blocks.

    Args:
        model: a folder written by a training recipe (…/model) or by adapt_encoder.
        data_use: the terms of the training notes; "credentialed" is MIMIC, n2c2 and the like,
            "local" your own patients'. Without it the check blocks.
        public: whether the repository will be public.
        corpus: a public corpus by name: its training and test notes.
        train: the training notes, to look for quotations and to audit memorisation.
        held_out: notes like them that training did not see, such as the test notes.
        read: how the files are read, e.g. --read.columns.text letter.
        overrides: checks whose block is lifted, e.g. ["licence=mit"].
        encoder: where the model's encoder lies, if not where it was in training; to audit
            memorisation.

    Returns:
        True: the folder may leave.
    """
    notes = gate_notes(corpus, train, held_out, read)
    report = check_release(
        model,
        data_use=data_use,
        public=public,
        **notes,
        overrides=overrides or (),
        encoder=encoder,
    )
    for row in report.table():
        print(f"{row['status']:<9} {row['check']}: {row['reason']}")
    if not report.allowed:
        names = [check.name for check in report.blocked]
        lifted = [check.name for check in report.blocked if check.liftable]
        raise ReleaseError(
            f"{shown_path(model)} may not leave: {names} block"
            + (f"; lift {lifted} with --overrides" if lifted else "")
        )
    return True


if __name__ == "__main__":
    run(main)
