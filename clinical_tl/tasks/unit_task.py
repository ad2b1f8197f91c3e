"""Tasks that tag the units of a note's text: words, or tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from clinical_tl.text.tag_layers import TagLayers
    from clinical_tl.text.tokenizer import TokenisedNote
    from clinical_tl.text.units import Units, UnitSize


class UnitTask(Task):
    """A task that tags the units of a note's text, words or tokens."""

    whole_notes: ClassVar[bool] = False
    pipeline_tag: ClassVar[str] = "token-classification"

    units: UnitSize
    """What tags stand for."""

    @property
    @abstractmethod
    def tag_set(self) -> TagLayers:
        """The tags."""

    @abstractmethod
    def check_targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> None:
        """As `LosesGold`."""

    @abstractmethod
    def unit_log_probabilities(
        self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]
    ) -> tuple[Units, npt.NDArray[np.float64]]:
        """The note's units, and their tags' log-probabilities, shape (units, outputs)."""

    @abstractmethod
    def doubting(self, least: float) -> Self:
        """The task as a teacher: whatever is a mention with probability `least` is predicted."""

    def unread(self, note_id: str) -> Prediction:
        """No mention."""
        return Prediction(note_id, spans=())
