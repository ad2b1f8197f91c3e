"""The check of what a model keeps beside its network that can be read: words, names and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_tl.errors import ArtifactError
from clinical_tl.release.check import DataUse, ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder

if TYPE_CHECKING:
    from clinical_tl.estimators.estimator import Estimator

NAME = "vocabulary"
WORDS_FILE = "lexical_classifier.safetensors"


def check_vocabulary(
    folder: ReleaseFolder, data_use: DataUse | None, *, public: bool
) -> ReleaseCheck:
    """Words and rules that can be read leave with public notes alone; hashed ones can be guessed.

    That several patients' notes have a word keeps rare names out, and not a physician's. Rules
    may be made of notes or of a lexicon, which can't be told from them.
    """
    from clinical_tl.estimators.lexical_classifier import LexicalClassifier
    from clinical_tl.models.open_codes import OpenCodes

    try:
        words = LexicalClassifier.load(folder.path) if _has(LexicalClassifier, folder) else None
        codes = OpenCodes.load(folder.path) if _has(OpenCodes, folder) else None
    except ArtifactError:
        return ReleaseCheck(
            NAME, "block", "a damaged file of words: what it holds is not known; save it again"
        )
    if codes is not None and codes.rules_ and data_use != "public":
        return ReleaseCheck(
            NAME,
            "block",
            f"{len(codes.rules_):,} rules of an open code set can be read in it. Where they are "
            "made of notes, they say what the notes say; of a lexicon they may leave: say so with "
            "an override",
        )
    if words is None:
        return ReleaseCheck(NAME, "pass", "no words saved")
    if words.terms_ is None:
        hashed = (
            "words are hashed: none can be read, but whoever guesses one can look up whether the "
            "notes had it"
        )
        if public and data_use != "public":
            return ReleaseCheck(NAME, "warn", f"{hashed}, and everybody may try")
        return ReleaseCheck(NAME, "pass", hashed)
    n = f"{len(words.terms_):,} words of the training notes"
    if data_use == "public":
        return ReleaseCheck(NAME, "pass", f"{n}, which are public")
    return ReleaseCheck(
        NAME,
        "block",
        f"{n} can be read in it, each in those of {words.min_notes} patients or more (of "
        f"{words.min_notes} notes, where patients are not known): names of physicians and places "
        "may be among them. Train again with lexical='hashed', or without",
    )


def _has(kind: type[Estimator], folder: ReleaseFolder) -> bool:
    return kind.is_saved(folder.path)
