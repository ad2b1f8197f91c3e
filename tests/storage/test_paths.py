from pathlib import Path

import pytest

import clinical_tl as ctl
from clinical_tl.errors import ClinicalTLError, ConfigError
from clinical_tl.rules.lexicon import from_lexicon
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.storage.paths import as_path

SENTINEL = "Zebrafinch"
NOTES = [
    f"Admitted with {SENTINEL} syndrome.",
    f"Admitted with {SENTINEL} syndrome. " * 40,
    f"Line one {SENTINEL}\nline two",
    f"{SENTINEL}_was_given_to_the_patient",
    f"患者は{SENTINEL}症候群で入院しました。" * 20,
    f"half a character {SENTINEL} \ud800",
    f"nul {SENTINEL} \0",
]
DOORS = {
    "read_notes": ctl.read_notes,
    "write_notes": lambda text: ctl.data.write_notes([ctl.Note("1", "a")], f"{text}/x"),
    "TransferModel.load": ctl.TransferModel.load,
    "load": ctl.load,
    "from_pretrained": lambda text: ctl.TransferModel.from_pretrained(
        text, ctl.NoteClassification(ctl.LabelSet(("a", "b")))
    ),
    "FeatureModel": ctl.FeatureModel.load,
    "rules": RuleSet.load,
    "lexicon": lambda text: from_lexicon(text, label="Disease"),
    "release": lambda text: ctl.release.check_release(text, data_use="public"),
    "card": ctl.saved.write_card,
    "corpus": lambda text: ctl.data.load_corpus("ncbi_disease", folder=text),
    "corpus name": ctl.data.load_corpus,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", NOTES, ids=range(len(NOTES)))
def test_a_note_given_for_a_path_is_never_quoted(door, text, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    try:
        DOORS[door](text)
    except ClinicalTLError as error:
        assert SENTINEL not in str(error)
    else:
        assert door == "write_notes"
    assert SENTINEL not in caplog.text


def test_paths_pass(tmp_path):
    assert as_path(tmp_path) == tmp_path
    assert as_path("a b/é.csv") == Path("a b/é.csv")
    for given in ("x" * 256, "a\nb", "a\0b", "é" * 128):
        with pytest.raises(ConfigError, match="no file or folder can have this name"):
            as_path(given)
    with pytest.raises(ConfigError, match="a list was given where a path belongs"):
        as_path(["a"])
