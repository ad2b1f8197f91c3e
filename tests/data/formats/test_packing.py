import gzip

import pytest

from clinical_tl.data.predictions import write_predictions
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError
from clinical_tl.schema import Note, Prediction

NOTES = [Note("1", "fever")]


@pytest.mark.parametrize("name", ["A.JSONL.GZ", "a.csv.Gz", "a.TSV.gz"])
def test_a_name_in_any_case_says_that_a_file_is_packed(tmp_path, name):
    write_notes(NOTES, tmp_path / name)
    assert gzip.decompress((tmp_path / name).read_bytes())
    assert list(read_notes(tmp_path / name)) == NOTES


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("x.jsonl.gz", "prodigy"),
        ("x.conll.gz", "conll"),
        ("x.parquet.GZ", "parquet"),
        ("x.jsonl.bz2", "json_lines"),
        ("x.csv.zip", "csv"),
        ("x.json.zst", "label_studio"),
    ],
)
def test_no_file_of_a_packed_name_holds_unpacked_bytes(tmp_path, name, given):
    with pytest.raises(ConfigError, match=rf"{given} is not written packed as \.\w+; name"):
        write_notes(NOTES, tmp_path / name, format=given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_be_called_anything(tmp_path):
    write_notes(NOTES, tmp_path / "a.gz", format="brat", lossy=True)
    assert (tmp_path / "a.gz").is_dir()


@pytest.mark.parametrize("name", ["p.csv.gz", "p.tsv.GZ", "p.JSONL.GZ"])
def test_predictions_are_packed_where_the_name_says_so(tmp_path, name):
    write_predictions([Prediction("1", label="ill")], tmp_path / name)
    assert b"ill" in gzip.decompress((tmp_path / name).read_bytes())


@pytest.mark.parametrize(
    ("name", "given"), [("p.parquet.gz", "parquet"), ("p.jsonl.gz", "prodigy"), ("p.zip", "csv")]
)
def test_predictions_of_other_packed_names_are_refused_before_anything_is_predicted(
    tmp_path, name, given
):
    def never():
        raise AssertionError
        yield

    with pytest.raises(ConfigError, match="is not written packed"):
        write_predictions(never(), tmp_path / name, notes=NOTES, format=given)
