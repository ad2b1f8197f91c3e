import gzip

import pytest

from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.rules import from_lexicon
from clinical_tl.schema import Note
from tests.rules.lexicons import marked


@pytest.fixture
def lexicon(tmp_path):
    def write(*lines, name="lex.tsv"):
        path = tmp_path / name
        content = "".join(f"{line}\n" for line in lines).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def test_a_name_a_rule_with_all_its_ids(lexicon):
    rules = from_lexicon(lexicon("Ague\tD2\tx", "", "gouty  arthritis\tD3", "ague\tD1", "scurvy\t"))
    assert [(r.id, r.pattern, r.label, r.concepts, r.support, r.precision) for r in rules] == [
        ("lex.tsv:1", "Ague", "Concept", ("D1", "D2"), 0, None),
        ("lex.tsv:2", "gouty arthritis", "Concept", ("D3",), 0, None),
        ("lex.tsv:3", "scurvy", "Concept", (), 0, None),
    ]
    assert rules.pruned == {"repeated": 1}


def test_columns_by_name_and_gzip(lexicon):
    path = lexicon("id\tother\tname", "D1\tx\tague", name="l.tsv.gz")
    (rule,) = from_lexicon(path, name_column="name", id_column="id", label="P", origin="mine")
    assert (rule.id, rule.pattern, rule.label, rule.concepts) == ("mine:1", "ague", "P", ("D1",))
    with pytest.raises(ConfigError, match=r"l.tsv.gz:1: no column is named 'nam' among the 3"):
        from_lexicon(path, name_column="nam", id_column="id")


def test_names_that_mark_noise_are_pruned_and_counted(lexicon):
    path = lexicon(
        "ALL\t1", "tic\t1", "MEN 2\t1", "Falls\t1", "250.0\t1", "low back pain\t1", "AIDS\t1"
    )
    rules = from_lexicon(path)
    assert [(r.pattern, r.match_case) for r in rules] == [("low back pain", False), ("AIDS", True)]
    assert rules.pruned == {"common word": 2, "no letter": 1, "short": 2}
    assert [r.pattern for r in from_lexicon(path, min_length=3)] == ["tic", "low back pain", "AIDS"]


def test_columns_the_wrong_way_round_are_told(lexicon, caplog):
    assert not len(from_lexicon(lexicon("R12\theartburn", "I10\thypertension")))
    assert "none of its 2 names becomes a rule" in caplog.text
    assert "heartburn" not in caplog.text


def test_source_gold_prunes_what_fires_and_fails(lexicon):
    path = lexicon("ague\t1", "gout\t2", "scurvy\t3")
    notes = [marked("1", "ague and gout", "ague"), Note("2", "gout", spans=())]
    rules = from_lexicon(path, label="Problem", tune_on=notes)
    assert [(r.pattern, r.support, r.precision) for r in rules] == [
        ("ague", 1, 1.0),
        ("scurvy", 0, None),
    ]
    assert rules.pruned == {"imprecise": 1}
    assert len(from_lexicon(path, label="Problem", tune_on=notes, min_support=3)) == 3
    with pytest.raises(ConfigError, match=r"label is 'Drug'.*choose one of \['Problem'\]"):
        from_lexicon(path, label="Drug", tune_on=notes)


def test_faulty_lines_are_all_told_with_their_place(lexicon, tmp_path):
    path = lexicon("ague\tD1", "hidden", "\t\t")
    path.write_bytes(path.read_bytes() + "h\xe9\tD3\n".encode("latin1"))
    with pytest.raises(FaultyNotesError) as caught:
        from_lexicon(path)
    assert [(fault.where, fault.found) for fault in caught.value.faults] == [
        ("lex.tsv:2", "1 columns"),
        ("lex.tsv:3", "a blank name"),
        ("lex.tsv:4", "bytes that are not UTF-8"),
    ]
    assert "hidden" not in str(caught.value)
    with pytest.raises(NoteError, match=r"no\.tsv: no such file"):
        from_lexicon(tmp_path / "no.tsv")


@pytest.mark.parametrize("settings", [{"min_length": 0}, {"name_column": -1}])
def test_settings_out_of_range_are_refused(lexicon, settings):
    with pytest.raises(ConfigError, match="allowed"):
        from_lexicon(lexicon("ague\tD1"), **settings)
