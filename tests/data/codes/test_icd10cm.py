import subprocess
import sys

import pytest

from clinical_tl.data.codes import icd10cm as icd10
from clinical_tl.errors import ConfigError, NoteError
from tests.data.corpora import corpus

SECRET = "Zebulon Quixote was seen for chest pain"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("i10 ", "I10"),
        ("I2510", "I25.10"),
        ("I25.10", "I25.10"),
        ("s22.49xa", "S22.49XA"),
        ("S2249XA", "S22.49XA"),
        ("c7a.00", "C7A.00"),
        ("\tz3A.39\n", "Z3A.39"),
    ],
)
def test_one_spelling(given, expected):
    assert icd10.normalise_code(given) == expected
    assert icd10.normalise_code(expected) == expected


@pytest.mark.parametrize(
    "given", ["", "I1", "10I", "I25.", "I25.10.1", "A00-A09", "I2.510", "S22.49XAA", "I１0", SECRET]
)
def test_malformed_is_refused_without_quoting_it(given):
    with pytest.raises(NoteError) as caught:
        icd10.normalise_code(given)
    assert f"{len(given)} characters" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not icd10.is_listed(given)


def test_a_number_is_no_code():
    with pytest.raises(NoteError, match="got float"):
        icd10.normalise_code(10.0)  # type: ignore[arg-type]


def test_listed_and_described():
    assert icd10.is_listed("i2510")
    assert icd10.is_listed("S22.49XA")
    assert icd10.is_listed("B99")  # also the name of a block
    assert not icd10.is_listed("S22.39X")  # lacks its seventh character
    assert not icd10.is_listed("9")  # a chapter
    assert icd10.description("I10") == "Essential (primary) hypertension"
    assert icd10.description("s2249xa") == (
        "Multiple fractures of ribs, unspecified side, initial encounter for closed fracture"
    )
    assert icd10.description("S22.39X") is None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("I10", "IX I00-I99"),
        ("B99", "I A00-B99"),
        ("C00", "II C00-D49"),
        ("D49.9", "II C00-D49"),
        ("D50", "III D50-D89"),
        ("H59.9", "VII H00-H59"),
        ("H60", "VIII H60-H95"),
        ("O9A.1", "XV O00-O9A"),
        ("S22.49XA", "XIX S00-T88"),
        ("U07.1", "XXII U00-U85"),
        ("V00", "XX V00-Y99"),
        ("X73.0XX", "XX V00-Y99"),
        ("Z99.2", "XXI Z00-Z99"),
        # Of other releases, absent from this list.
        ("E90", "IV E00-E89"),
        ("F00", "V F01-F99"),
        ("T98", "XIX S00-T88"),
    ],
)
def test_chapter(code, name):
    assert icd10.chapter(code).name == name


def test_chapters_are_complete_and_agree_with_the_lists_own_tree():
    chapters = icd10.chapters_by_letter()
    assert sorted(c.number for c in chapters) == list(range(1, 23))
    assert icd10.chapter("I10").title == "Diseases of the circulatory system"
    tree = icd10._tabular_list()
    for code in tree.get_all_codes()[::97]:
        if tree.is_category_or_subcategory(code):
            assert str(icd10.chapter(code).number) == tree.get_ancestors(code)[-1], code


def test_every_listed_code_is_a_code_and_has_its_own_chapter():
    tree = icd10._tabular_list()
    codes = [code for code in tree.get_all_codes() if tree.is_category_or_subcategory(code)]
    odd = [code for code in codes if not code[1].isdigit()]
    assert {code[:3] for code in odd} == {"QA0"}
    for code in (*codes[::53], *odd):
        assert icd10.normalise_code(code.replace(".", "").lower()) == code
        assert str(icd10.chapter(code).number) == tree.get_ancestors(code)[-1], code
    assert icd10.normalise_code("qa0.77") == "QA0.77"
    with pytest.raises(NoteError):
        icd10.normalise_code("FEVER")


@pytest.mark.parametrize("code", ["V5861", "V58.61", "v1082", "V053", "E8497", "E9509", "E900"])
def test_a_code_of_icd9_gets_no_category_of_icd10(code):
    for rolled in (icd10.category, icd10.chapter):
        with pytest.raises(NoteError, match="general equivalence mappings"):
            rolled(code)
    assert icd10.check_codes(["I10", "E871", code]).icd9 == (2,)
    with pytest.raises(NoteError):
        icd10.roll_up([code], "category")


@pytest.mark.parametrize(
    "code", ["V58.61XA", "V5861XA", "V43.52", "E871", "E8801", "E88.59", "E90", "E039", "V29.9XX"]
)
def test_a_code_of_icd10_is_not_taken_for_one_of_icd9(code):
    assert icd10.category(code) == code[:3]
    assert icd10.check_codes(["I10", code]).icd9 == ()


def test_a_set_of_icd9_codes_is_known_by_what_it_lacks():
    # Each of these is spelt as a listed code of ICD-10-CM too.
    assert icd10.check_codes(["V502", "E8801"]).icd9 == (0, 1)
    assert icd10.check_codes(["E871", "E876"]).icd9 == ()
    report = icd10.check_codes(["4019", "250.00", "E849.7", "I10"])
    assert (report.icd9, report.malformed) == ((0, 1, 2), (0, 1, 2))
    assert "3 spelt as ICD-9-CM at positions 0, 1, 2" in str(report)
    assert not icd10.check_codes(["V5861", "I10"]).is_clean


def test_roll_up_keeps_first_appearance_once():
    codes = ["i2510", "J44.9", "I25.9", "S22.49XA"]
    assert icd10.roll_up(codes) == ("I25.10", "J44.9", "I25.9", "S22.49XA")
    assert icd10.roll_up(codes, level="category") == ("I25", "J44", "S22")
    assert icd10.roll_up(codes, level="chapter") == ("IX I00-I99", "X J00-J99", "XIX S00-T88")
    assert icd10.roll_up([]) == ()
    with pytest.raises(ConfigError, match="allowed: code, category, chapter"):
        icd10.roll_up(codes, level="block")  # type: ignore[arg-type]
    with pytest.raises(NoteError):
        icd10.roll_up(["I10", "nonsense"], level="category")


def test_check_codes_sorts_and_drops_nothing():
    report = icd10.check_codes(["i10", "I10", "S22.39X", SECRET, "I25.10", "", "z3a39"])
    assert report == icd10.CodeReport(
        listed=("I10", "I25.10", "Z3A.39"),
        absent=("S22.39X",),
        malformed=(3, 5),
        normalised=(("i10", "I10"), ("z3a39", "Z3A.39")),
        rows=7,
    )
    assert not report.is_clean
    assert str(report) == (
        "7 codes: 3 distinct ones listed; 1 distinct ones absent from the tabular list and kept "
        "(S22.39X); 2 malformed at positions 3, 5"
    )
    assert SECRET not in repr(report)
    assert icd10.check_codes(["I10"]).is_clean


def test_a_long_report_is_cut():
    report = icd10.check_codes([f"A99.{i}" for i in range(10)] + ["Q99.ZZ", "Q99.ZY"])
    assert len(report.absent) == 12
    assert str(report).endswith("A99.9, …)")


def test_the_list_is_loaded_on_first_need_only():
    program = (
        "import sys, clinical_tl.data.codes.icd10cm as icd10\n"
        "icd10.normalise_code('i10')\n"
        "assert 'simple_icd_10_cm' not in sys.modules\n"
        "assert icd10.is_listed('i10')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_codiesp_codes():
    folder = corpus("codiesp")
    codes = [
        line.split("\t")[1]
        for part in ("train", "dev", "test")
        for line in (folder / part / f"{part}D.tsv").read_text("utf-8").splitlines()
    ]
    report = icd10.check_codes(codes)
    assert report.rows == 11158
    assert len(report.listed) + len(report.absent) == 2557
    assert report.malformed == ()
    # Each ends in the placeholder X: its seventh character is missing.
    assert len(report.absent) == 98
    assert all(code.endswith("X") for code in report.absent)
    assert sum(not icd10.is_listed(code) for code in codes) == 162
    assert len(icd10.roll_up(codes, level="category")) == 983
    assert all(icd10.is_listed(c) for c in icd10.roll_up(codes, level="category"))
    assert len(icd10.roll_up(codes, level="chapter")) == 21
