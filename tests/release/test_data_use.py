"""Terms of the notes: stated, kept, and not contradicted."""

import pytest

from clinical_tl.errors import ConfigError
from clinical_tl.release.data_use import check_data_use
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.schema import Note
from tests.release.folders import write_model


@pytest.fixture
def folder(tmp_path):
    return ReleaseFolder.read(write_model(tmp_path / "model"))


@pytest.mark.parametrize(
    ("data_use", "public", "status"),
    [
        (None, False, "block"),
        (None, True, "block"),
        ("public", False, "partial"),
        ("public", True, "partial"),
        ("credentialed", False, "pass"),
        ("credentialed", True, "block"),
        ("local", False, "pass"),
        ("local", True, "warn"),
    ],
)
def test_what_each_statement_allows(data_use, public, status, folder):
    assert check_data_use(folder, data_use, public=public, train=None).status == status


def test_an_unknown_statement_is_refused(folder):
    with pytest.raises(ConfigError, match="data_use='mimic'; allowed"):
        check_data_use(folder, "mimic", public=False, train=None)


@pytest.mark.parametrize("listed", ["datasets: MIMIC-IV-Note", "datasets:\n- ncbi\n- n2c2_2018"])
def test_a_card_that_names_credentialed_data_contradicts_public(folder, listed):
    (folder.path / "README.md").write_text(f"---\n{listed}\nlicense: mit\n---\n")
    assert check_data_use(folder, "public", public=False, train=None).status == "block"
    assert check_data_use(folder, "credentialed", public=False, train=None).status == "pass"


def test_so_does_what_its_authors_say_of_the_notes(folder):
    for said, status in (("Summaries of MIMIC-IV.", "block"), ("Rashes that mimic.", "partial")):
        (folder.path / "README.md").write_text(said)
        assert check_data_use(folder, "public", public=True, train=None).status == status


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("i2b2/2010", "block"),
        ("MIMICIII", "block"),
        ("mimiciv", "block"),
        ("mimiciii_notes", "block"),
        ("/data/mimic-iii/NOTEEVENTS.csv", "block"),
        ("mimicxr", "block"),
        ("mimicry", "pass"),
        ("a rash that mimics another" * 10, "pass"),
    ],
)
def test_so_do_the_notes(folder, source, status):
    notes = [Note("1", "x", metadata={"file": source})]
    for train, held_out in ((notes, []), ([], notes)):
        found = check_data_use(folder, "public", public=False, train=train, held_out=held_out)
        assert found.status == status
    found = check_data_use(folder, "public", public=False, train=notes)
    assert found.status == ("partial" if status == "pass" else status)
