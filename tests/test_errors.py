import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import (
    FaultyNotesError,
    NoteError,
    TaskError,
    printable,
    shown_id,
    shown_ids,
    shown_path,
)
from clinical_tl.schema import Span

NAMES = [
    *("note-00012", "PMID:8528200", "S0004-06142005000900015-1", "mts_dialog_train_12"),
    *("10000032-DS-21", "123e4567-e89b-12d3-a456-426614174000", "note_2024-01-02_0012_v1"),
    *("1.2.840.113619.2.5.1762583153.215519.978957063.78", "d41d8cd98f00b204e9800998ecf8427e"),
    *("fam/sochx", "Disease", "INDIRECT-DOWNREGULATOR", "past_medical_history", "I25.10"),
    *("疾病和诊断", "影像检查", "수술", "ICD-10-CM", "note#2", ""),
]
TEXTS = [
    "a fever",
    "John_Smith_HIV_positive",
    "John-Smith-has-HIV",
    "John+Smith+was+admitted",
    "John%20Smith",
    "PatientDeniesChestPain",
    "BP_120_80_HR_90_temp_38",
    "patientdenieschestpainandfever",
    "患者主訴頭痛発熱三日間",
    "患者头痛发热三天",
    "患者HIV陽性です",
    "ผู้ป่วยปวดหัว",
    "환자두통발열삼일",
    "John\u00a0Smith",
    "x\x1b[2J",
    "x\ud800",
    "x\u202ey",
    "x\x00",
    "x" * 65,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown(name):
    assert shown_id(name) == name


@pytest.mark.parametrize("text", TEXTS)
def test_text_and_what_is_not_printable_are_described(text):
    assert shown_id(text, "label") == f"<label of {len(text)} characters>"
    assert shown_ids([text], "label") == str([f"<label of {len(text)} characters>"])
    assert shown_path(text) == f"<a text of {len(text)} characters where a path belongs>"


@pytest.mark.parametrize(
    "path",
    [
        *("notes.csv", "My notes of march.csv", "MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv"),
        *("microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext", "bert-base-uncased"),
        *("hub:org/name", "/nowhere/runs/model", "../shared/data", "runs/demo/model", "offline"),
        *(r"C:\Users\x\notes.csv", "clinical_tl/no such folder"),
    ],
)
def test_what_looks_like_a_path_is_shown(path):
    assert shown_path(path) == path


def test_paths_that_exist_are_shown_with_their_odd_characters_escaped(tmp_path):
    folder = tmp_path / "a folder of the fifth ward\x1b[2J"
    folder.mkdir()
    assert shown_path(folder) == printable(str(folder))
    assert "\x1b" not in shown_path(folder)
    assert shown_path(folder / "model of today").endswith("model of today")


def test_a_text_in_place_of_a_path_is_not_quoted():
    text = "Admitted for chest pain. " * 50
    assert shown_path(text) == "<a text of 1,250 characters where a path belongs>"


@given(st.text())
def test_messages_hold_printable_characters_and_line_breaks_only(text):
    for error in (NoteError(text), FaultyNotesError(text, [], text)):
        assert all(char.isprintable() or char == "\n" for char in str(error))
        str(error).encode()


def test_the_label_of_a_broken_span_is_not_quoted():
    with pytest.raises(NoteError, match=r"span 5–1 \(<label of 23 characters>\)"):
        Span(5, 1, "Admitted for chest pain")


def test_errors_keep_their_message():
    assert str(TaskError("two labels\nat least")) == "two labels\nat least"
