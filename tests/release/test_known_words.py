"""Words of the notes that lie beside a network: who may have them."""

import re

import numpy as np
import pytest

from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.models.code_candidates import FEATURES
from clinical_tl.models.open_codes import OpenCodes
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.gate import check_release
from clinical_tl.release.known_words import WORDS_FILE, check_vocabulary
from tests.release.folders import SECRET, write_model

TEXTS = [f"seen by {SECRET} for fever"] * 3 + [f"seen by {SECRET} for cough"] * 3
LABELS = [0, 0, 0, 1, 1, 1]


def folder(path, *, hashed=None):
    """A model without words, or with them as they are or hashed."""
    write_model(path)
    if hashed is not None:
        LexicalClassifier(hashed=hashed).fit(TEXTS, LABELS).save(path)
    return ReleaseFolder.read(path)


@pytest.mark.parametrize(
    ("hashed", "data_use", "public", "status", "said"),
    [
        (None, "local", True, "pass", "no words saved"),
        (False, "public", True, "pass", "6 words of the training notes, which are public"),
        (False, "credentialed", False, "block", "Train again with lexical='hashed', or without"),
        (False, "local", False, "block", "6 words .* in those of 3 patients or more"),
        (False, None, False, "block", "can be read"),
        (True, "public", True, "pass", "whoever guesses one can look up"),
        (True, "local", False, "pass", "whoever guesses one can look up"),
        (True, "local", True, "warn", "everybody may try"),
        (True, "credentialed", True, "warn", "everybody may try"),
    ],
)
def test_words_leave_with_public_notes_or_hashed(tmp_path, hashed, data_use, public, status, said):
    read = folder(tmp_path / "model", hashed=hashed)
    found = check_vocabulary(read, data_use, public=public)
    assert found.status == status
    assert re.search(said, found.reason)
    assert SECRET.lower() not in found.reason


def test_a_damaged_file_of_words_blocks(tmp_path):
    read = folder(tmp_path / "model", hashed=True)
    file = read.path / WORDS_FILE
    file.write_bytes(file.read_bytes()[:-5])
    assert check_vocabulary(read, "public", public=False).blocks


def test_a_person_can_answer_for_the_words(tmp_path):
    path = folder(tmp_path / "model", hashed=False).path
    given = {"data_use": "local", "overrides": ["vocabulary=looked through by hand"]}
    (found,) = [c for c in check_release(path, **given).checks if c.name == "vocabulary"]
    assert (found.status, found.overridden_by) == ("block", "vocabulary=looked through by hand")
    assert not found.blocks


@pytest.mark.parametrize(
    ("rules", "data_use", "status"),
    [
        ((), "local", "pass"),
        (("ward:1",), "local", "block"),
        (("ward:1",), None, "block"),
        (("ward:1",), "public", "pass"),
    ],
)
def test_rules_of_an_open_code_set_leave_with_public_notes(tmp_path, rules, data_use, status):
    write_model(tmp_path / "model")
    codes = OpenCodes()
    codes.names_, codes.digest_, codes.n_features_in_ = None, "", len(FEATURES)
    codes.rules_ = [{"id": name, "pattern": SECRET} for name in rules]
    codes.coef_ = codes.mean_ = np.zeros(len(FEATURES))
    codes.intercept_ = codes.threshold_ = 0.5
    codes.save(tmp_path / "model")
    found = check_vocabulary(ReleaseFolder.read(tmp_path / "model"), data_use, public=True)
    assert found.status == status
    assert SECRET not in found.reason
