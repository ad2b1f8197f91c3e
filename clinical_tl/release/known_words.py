"""The check of the words that a model keeps beside its network, which are text of its notes."""

from __future__ import annotations

from clinical_tl.errors import ArtifactError
from clinical_tl.release.check import DataUse, ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder

NAME = "vocabulary"
WORDS_FILE = "lexical_classifier.safetensors"


def check_vocabulary(
    folder: ReleaseFolder, data_use: DataUse | None, *, public: bool
) -> ReleaseCheck:
    """Words that can be read leave with public notes alone; hashed ones can still be guessed.

    That several patients' notes have a word keeps rare names out, and not a physician's.
    """
    from clinical_tl.estimators.lexical_classifier import LexicalClassifier

    if not LexicalClassifier.is_saved(folder.path):
        return ReleaseCheck(NAME, "pass", "no words saved")
    try:
        words = LexicalClassifier.load(folder.path)
    except ArtifactError:
        return ReleaseCheck(
            NAME, "block", "a damaged file of words: what it holds is not known; save it again"
        )
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
