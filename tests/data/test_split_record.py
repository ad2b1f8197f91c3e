"""A split is found again by its ids, and only while ids and texts are what they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clinical_tl.data.corpora import note_splits
from clinical_tl.data.notes import Notes
from clinical_tl.data.split_record import SplitOrigin, SplitRecord, file_beside
from clinical_tl.errors import ArtifactError, ConfigError, NoteError


@pytest.fixture(scope="module")
def splits():
    return note_splits(limit=6)


@pytest.fixture(scope="module")
def notes(splits):
    return Notes([note for side in reversed(splits.values()) for note in side])


def test_a_side_is_found_again_among_all_notes(splits, notes, tmp_path):
    SplitRecord.of(splits, splits.origin).save(tmp_path / "model")
    record = SplitRecord.beside(tmp_path / "model")
    assert record.origin == splits.origin
    for side, of_side in splits.items():
        assert record.has(side, notes)
        assert list(record.find(side, notes)) == list(of_side)


def test_missing_ids_and_changed_texts_are_refused(splits, notes):
    record = SplitRecord.of(splits, SplitOrigin())
    first = splits["test"][0]
    fewer = notes.filter(lambda note: note.note_id != first.note_id)
    assert not record.has("test", fewer)
    with pytest.raises(NoteError, match=f"1 of the 6 test notes .* e.g. .*{first.note_id}"):
        record.find("test", fewer)
    changed = Notes(
        [
            replace(n, text=f"{n.text} ", spans=None, relations=None) if n == first else n
            for n in notes
        ]
    )
    with pytest.raises(
        NoteError, match="the texts of 1 of the 6 test notes have changed"
    ) as caught:
        record.find("test", changed)
    assert first.text[:20] not in str(caught.value)
    assert list(record.find("dev", changed)) == list(splits["dev"])
    with pytest.raises(ConfigError, match=r"split='tset'; .*'train', 'dev', 'test'"):
        record.find("tset", notes)


def test_a_record_holds_ids_and_hashes_and_shows_neither(splits, tmp_path):
    record = SplitRecord.of(splits, splits.origin)
    text = record.save(tmp_path / "model").read_text()
    for note in splits["train"]:
        assert note.note_id in text
        assert note.text[:20] not in text
        assert note.note_id not in repr(record)


def test_without_a_record_or_with_a_damaged_one_it_is_said(splits, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.split\.json is not there"):
        SplitRecord.beside(tmp_path / "model")
    file = SplitRecord.of(splits, splits.origin).save(tmp_path / "model")
    assert file == file_beside(tmp_path / "model") == tmp_path.resolve() / "model.split.json"
    file.write_text(file.read_text().replace('"test": {', '"tset": {'))
    with pytest.raises(ArtifactError, match="differs from what was saved"):
        SplitRecord.beside(tmp_path / "model")
