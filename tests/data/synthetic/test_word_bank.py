import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import clinical_tl
from clinical_tl.data.codes import icd10cm as icd10
from clinical_tl.data.synthetic import word_bank as module
from clinical_tl.data.synthetic.word_bank import (
    Wording,
    _sentence_faults,
    read_word_bank,
    word_bank,
)
from clinical_tl.errors import ConfigError

FOLDER = Path(module.__file__).parent


def changed(tmp_path, file, old, new):
    """A folder of banks in which a text of one file is another, the first time it stands there."""
    for source in FOLDER.glob("*.toml"):
        text = source.read_text(encoding="utf-8")
        if source.name == file:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / source.name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_bank_is_read_on_first_need_and_once():
    program = (
        "import sys\n"
        "from clinical_tl.data.synthetic import iter_notes\n"
        "from clinical_tl.data.synthetic.word_bank import word_bank\n"
        "print(word_bank.cache_info().currsize, 'tomllib' in sys.modules)\n"
        "list(iter_notes(1)), list(iter_notes(1))\n"
        "print(word_bank.cache_info().misses)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "False", "1"]


def test_codes_are_listed_and_every_drug_is_given():
    bank = word_bank()
    codes = [condition.code for condition in bank.conditions]
    assert all(icd10.is_listed(code) for code in codes)
    assert 40 <= len(set(codes)) == len(codes) <= 80
    given = {drug for condition in bank.conditions for drug in condition.drugs}
    assert given | set(bank.words.common_drugs) == set(bank.drugs)


def test_what_a_clinician_adds_is_there(tmp_path):
    addition = """
[[conditions]]
code = "M32.9"
specialty = "rheumatology"
names = ["lupus", "SLE"]
drugs = ["hydroxychloroquine"]
"""
    changed(tmp_path, "conditions.toml", "\n[[conditions]]", f"{addition}\n[[conditions]]")
    for file, lines in (
        ("drugs.toml", '\nhydroxychloroquine = { doses = ["200 mg"] }\n'),
        (
            "specialties.toml",
            '\n[rheumatology]\nweight = 1\nsymptoms = [["joint pain"]]\nprocedures = ["MRI"]\n',
        ),
    ):
        with (tmp_path / file).open("a", encoding="utf-8") as stream:
            stream.write(lines)
    bank = read_word_bank(tmp_path)
    (lupus,) = bank.by_specialty["rheumatology"]
    assert (lupus.category, lupus.chronic, lupus.prevalence, lupus.qualifiers) == (
        *("M32", False, 0.3),
        (),
    )
    assert bank.drugs["hydroxychloroquine"].doses == ("200 mg",)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("conditions", '"I50.9"', '"heart"', "conditions[heart].code: no ICD-10-CM code"),
        ("conditions", '"I50.9"', '"I509"', "conditions[I509].code: no ICD-10-CM code"),
        ("conditions", '"I50.9"', '"I10"', "conditions[I10].code: the code of another"),
        ("conditions", '"AF"', '"chf"', "conditions[I48.91].names[2]: a name of another"),
        ("conditions", "prevalence = 2.0", "prevalence = 0", "conditions[I50.9].prevalence: 0"),
        (
            "conditions",
            'specialty = "cardiology"',
            'specialty = "heart"',
            "conditions[I50.9].specialty: none of specialties.toml; allowed: cardiology, pulm",
        ),
        (
            "conditions",
            '"carvedilol"',
            '"carvedilole"',
            "conditions[I50.9].drugs[2]: a drug that drugs.toml lacks",
        ),
        ("conditions", '["I10", "I50"]', '["I10", "I51"]', "conflicts: I10 and I51; allowed"),
        ("conditions", '["I10", "I50"]', '["I10"]', "conflicts: I10; allowed: pairs"),
        ("specialties", "weight = 1.3", "weight = -1", "cardiology.weight: -1; allowed: more"),
        (
            "specialties",
            "[cardiology]",
            '[surgery]\nweight = 1\nsymptoms = [["pain"]]\nprocedures = ["repair"]\n[cardiology]',
            "surgery: no condition of conditions.toml",
        ),
        ("words", '"ondansetron"', '"ondansetrone"', "common_drugs[2]: a drug that drugs.toml"),
        ("words", "diet =", "dose =", "choices.dose: no name for it"),
        ("words", "diet =", "day =", "choices.day: no name for it"),
        ("words", "diet =", "hr =", "numbers.hr: no name for it"),
        ("words", "diet =", '"the diet" =', "choices.the diet: no name for it"),
        ("words", "least = 54", "least = 154", "numbers.hr: 154 to 128 with 0 decimals"),
        ("words", "most = 128", "most = 1280", "numbers.hr: 54 to 1280"),
        ("sentences", '[headings."progress note"]', "[headings.letter]", "headings: discharge"),
        ("sentences", "[facts.family]", "[facts.relatives]", "facts: principal, main, comorb"),
        (
            "sentences",
            'sections = ["family"]',
            'sections = ["social"]',
            "facts.family.sections: no section of a progress note",
        ),
        (
            "sentences",
            'sections = ["family"]',
            'sections = ["genes"]',
            "facts.family.sections: a section without heading; allowed: reason, story",
        ),
        ("sentences", "{diet}", "{food}", "filler.story[3]: the slot food; allowed: patient"),
        ("sentences", "Vaccinations", "{problem}", "filler.past[1]: the slot problem"),
        ("sentences", "Reports {symptom}", "{problem}", "facts.symptom.sentences[1]: the slot"),
        ("sentences", "Admitted for {problem}", "Ill", "facts.principal.sentences[1]: no {prob"),
        (
            "sentences",
            "Admitted for {problem}",
            "{problem}, {problem}",
            "facts.principal.sentences[1]: {problem} 2 times",
        ),
        (
            "sentences",
            "Admitted for {problem}",
            "{problem} {day",
            "facts.principal.sentences[1]: a",
        ),
        (
            "sentences",
            "Admitted for {problem}",
            "Known {problem}, on {drug} {dose}",
            "facts.comorbidity.sentences[13]: the wording of a principal sentence",
        ),
        (
            "sentences",
            "Admitted for {problem}",
            "{problem}" + " and so on" * 8,
            "facts.principal.sentences[1]: up to 33 words when filled; allowed: 30 at most",
        ),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path, file, old, new, says):
    folder = changed(tmp_path, f"{file}.toml", old, new)
    with pytest.raises(ConfigError, match="^" + re.escape(f"{file}.toml: {says}")):
        read_word_bank(folder)


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("_FEWEST_CATEGORIES", r"^conditions\.toml: conditions: \d\d categories .* 1000 or more"),
        ("_FEWEST_SYMPTOMS", r"^words\.toml: composed_symptoms: \d{3} symptoms .* 1000 or more"),
    ],
)
def test_what_a_note_would_run_out_of_is_refused(monkeypatch, limit, says):
    monkeypatch.setattr(module, limit, 1000)
    with pytest.raises(ConfigError, match=says):
        read_word_bank(FOLDER)


def test_a_kind_of_fact_needs_a_sentence_for_one_problem():
    bank = word_bank()
    wording = Wording(sections=("family",), sentences=("{problem} and {other}.",))
    sentences = bank.sentences._replace(facts={**bank.sentences.facts, "family": wording})
    faults = list(_sentence_faults(replace(bank, sentences=sentences)))
    assert [str(fault) for fault in faults] == [
        "sentences.toml: facts.family.sentences: {other} in each; allowed: one or more that name "
        "{problem} alone"
    ]


def test_files_other_than_modules_are_packaged():
    package = Path(clinical_tl.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["clinical_tl"]
    packaged = {file for pattern in patterns for file in package.glob(pattern)}
    others = {file for file in package.rglob("*.*") if file.suffix not in {".py", ".pyc"}}
    assert packaged == others
