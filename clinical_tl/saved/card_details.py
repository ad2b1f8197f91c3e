"""What only a model's authors can say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardDetails:
    """What only the authors know.

    `training_data` describes the notes (kind, place, years, how many; never a quotation),
    `datasets` names public ones. `licence` is an SPDX name in lower case; by default that of
    the encoder, where it is known. `language` is a code of ISO 639 (`"de"`), or several; by
    default what was said when the model was saved, else what its training notes are in.
    """

    licence: str | None = None
    language: str | tuple[str, ...] | None = None
    datasets: tuple[str, ...] = ()
    training_data: str = ""
    intended_use: str = ""
    limits: str = ""
