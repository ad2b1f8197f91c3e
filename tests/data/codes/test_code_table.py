"""A table of codes from a file: titles, what stands above, and what is wrong with it."""

import pytest

from clinical_tl.data.codes.code_table import read_codes
from clinical_tl.data.codes.known_systems import find_system
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError

TABLE = """code\tdescription\tparent
001-139\tInfections\t
0389\tSepticemia\t038
038\tSepticemias\t001-139
V5861\tAnticoagulants\tV586
V58.6\tLong-term use\tstatus
"""


def written(folder, text, name="codes.tsv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def test_codes_are_read_in_their_one_spelling_with_what_stands_above_them(tmp_path):
    table = read_codes(written(tmp_path, TABLE), find_system("icd9cm"))
    assert table.titles["038.9"] == "Septicemia"
    assert table.tops["038.9"] == table.tops["038"] == table.tops["001-139"] == "001-139"
    # In whatever spelling the parent is named.
    assert table.tops["V58.61"] == table.tops["status"] == "status"
    system = find_system("icd9cm")
    codes = ["0389", "401.9", "001-139", "V58.61"]
    assert system.roll_up(codes, "top", table.tops) == ("001-139", "401.9", "status")


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("a.csv", 'CODE,Description\n"0389","Septicemia, other"\n', "utf-8-sig"),
        ("a.csv", "code;description;edition\n0389;Septicemia, other;32\n\n", "utf-8"),
        ("a.txt", "code|description\n038.9|Septicemia, other\n", "utf-16"),
    ],
)
def test_any_delimiter_and_other_columns_will_do(tmp_path, name, text, encoding):
    table = read_codes(written(tmp_path, text, name, encoding), find_system("icd9cm"))
    assert table.titles == {"038.9": "Septicemia, other"}
    assert table.tops == {}


def test_faulty_rows_come_in_one_error_with_their_lines(tmp_path):
    text = TABLE + "0389\tHearing loss\t038\n\tNothing\t\n250\ta\tb\tc\n"
    with pytest.raises(FaultyNotesError) as caught:
        read_codes(written(tmp_path, text), find_system("icd9cm"))
    said = str(caught.value)
    assert "3 faults" in said
    assert "codes.tsv:7: a code that an earlier row" in said
    assert "codes.tsv:8: no code" in said
    assert "codes.tsv:9: 4 cells; allowed: 3 at most" in said
    assert "Hearing" not in said
    text = "code,description\n486,Pneumon\u00eda\n"
    with pytest.raises(FaultyNotesError, match="bytes that are not UTF-8"):
        read_codes(written(tmp_path, text, encoding="cp1252"), find_system("icd9cm"))


def test_parents_that_stand_above_themselves_are_refused(tmp_path):
    text = "code,parent\n486,487\n487,486\n"
    with pytest.raises(NoteError, match="stand above themselves"):
        read_codes(written(tmp_path, text), find_system("icd9cm"))


def test_what_is_no_table_of_codes_is_refused(tmp_path):
    system = find_system("icd9cm")
    with pytest.raises(ConfigError, match="no column 'code'; give a TSV or CSV"):
        read_codes(written(tmp_path, "icd_code,long_title\n486,a\n"), system)
    with pytest.raises(ConfigError, match="none of its 2 rows is a code of ICD-9-CM"):
        read_codes(written(tmp_path, "code\nI10\nE11.9\n"), system)
    with pytest.raises(ConfigError, match="is no file"):
        read_codes(tmp_path / "absent.tsv", system)
    with pytest.raises(ConfigError, match="no column 'code'"):
        read_codes(written(tmp_path, ""), system)
