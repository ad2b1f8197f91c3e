import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from itertools import combinations
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data.synthetic import LENGTHS, MIN_RANGE, generate_notes, iter_notes
from clinical_tl.data.synthetic.word_bank import word_bank
from clinical_tl.errors import ConfigError

BANK = word_bank()
BY_CODE = {condition.code: condition for condition in BANK.conditions}
SPAN_LABELS = {"Problem", "Symptom", "Drug", "Dose", "Procedure"}
ASSERTIONS = {"present", "negated", "historical", "family", "possible"}


@pytest.fixture(scope="module")
def mixed():
    return list(iter_notes(300, seed=3))


def word_count(note):
    return len(note.text.split())


def assertion(span):
    return dict(span.attributes).get("assertion")


def coded(note, *assertions):
    return {c for s in note.spans if assertion(s) in assertions for c in s.concepts}


def check_note(note):
    """Everything that holds of every synthetic note, whatever the settings."""
    end = 0
    for number, span in enumerate(note.spans, start=1):
        surface = note.text[span.start : span.end]
        assert end <= span.start < span.end <= len(note.text)
        assert surface == surface.strip()
        assert "\n" not in surface
        assert span.id == f"T{number}"
        assert span.label in SPAN_LABELS
        has_assertion = span.label in {"Problem", "Symptom"}
        assert (assertion(span) in ASSERTIONS) == has_assertion
        assert len(span.concepts) == (span.label == "Problem")
        # Neither side of a mention is in the middle of a word.
        for at in (span.start, span.end):
            assert not note.text[max(0, at - 1) : at + 1].isalnum() or at in (0, len(note.text))
        end = span.end
    assert set(note.codes) == coded(note, "present")
    assert len(set(note.codes)) == len(note.codes)
    assert not set(note.codes) & coded(note, "negated", "historical", "family", "possible")
    labels = {span.id: span.label for span in note.spans}
    ends = {"has_dose": ("Drug", "Dose"), "treats": ("Drug", "Problem")}
    for relation in note.relations:
        assert (labels[relation.head], labels[relation.tail]) == ends[relation.label]
    assert note.label in BANK.specialties
    assert BY_CODE[note.codes[0]].specialty == note.label
    assert note.text == note.text.strip()
    # No year, no telephone number, no record number.
    assert not re.search(r"\d{4}", note.text)
    assert note.metadata["synthetic"] is True


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    least=st.integers(1, 200),
    spread=st.integers(MIN_RANGE, 500),
    typo_rate=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_every_note_is_sound(seed, least, spread, typo_rate):
    for note in iter_notes(6, seed=seed, words=(least, least + spread), typo_rate=typo_rate):
        check_note(note)
        assert least <= word_count(note) <= least + spread


def test_default_notes_are_sound_and_varied(mixed):
    for note in mixed:
        check_note(note)
    counts = sorted(word_count(note) for note in mixed)
    least, most = LENGTHS["mixed"]
    assert least <= counts[0] < 15
    assert 2000 < counts[-1] <= most
    assert 100 < counts[150] < 300
    assert any("\n" not in note.text for note in mixed)
    assert {note.label for note in mixed} == set(BANK.specialties)
    assert {assertion(s) for n in mixed for s in n.spans if s.label == "Problem"} == ASSERTIONS
    assert {r.label for n in mixed for r in n.relations} == {"has_dose", "treats"}
    assert {n.metadata["kind"] for n in mixed} == {"discharge summary", "progress note"}


@pytest.mark.parametrize(("length", "bounds"), LENGTHS.items())
def test_named_lengths_keep_their_bounds(length, bounds):
    least, most = bounds
    for note in iter_notes(20, seed=1, length=length):
        assert least <= word_count(note) <= most


def test_tight_bounds_are_met_at_both_ends():
    counts = [word_count(n) for n in iter_notes(150, seed=0, words=(20, 20 + MIN_RANGE))]
    assert min(counts) <= 26
    assert max(counts) >= 50


def test_codes_are_skewed_and_go_together(mixed):
    counts = Counter(code for note in mixed for code in note.codes)
    assert counts.most_common(1)[0][1] >= 30
    assert sum(n <= 3 for n in counts.values()) >= 10
    for note in mixed:
        for one, other in combinations(note.codes, 2):
            assert BANK.go_together(BY_CODE[one], BY_CODE[other])


def test_the_text_says_what_the_gold_says():
    for note in iter_notes(60, seed=8, typo_rate=0):
        for span in note.spans:
            surface = note.text[span.start : span.end]
            if span.label == "Problem":
                names = BY_CODE[span.concepts[0]].names
                assert any(surface.lower().endswith(name.lower()) for name in names)
            elif span.label == "Dose":
                assert re.match(r"\d|AUC", surface)


def digest(notes):
    """Of every field, texts too (which the notes' `repr` leaves out)."""
    whole = "\n".join(json.dumps(asdict(note)) for note in notes)
    return hashlib.sha256(whole.encode()).hexdigest()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"n": 200}, "38fe4357a804d410"),
        ({"n": 60, "seed": 1}, "8c6c844351923809"),
        ({"n": 60, "seed": 2**40, "length": "short"}, "1c3fe9e4010e40f8"),
        ({"n": 12, "seed": 3, "length": "long"}, "7413979241f0ff4c"),
        ({"n": 60, "seed": -5, "words": (1, 70)}, "047bfd814c4e5d6f"),
        ({"n": 20, "seed": 5, "words": (300, 900)}, "074b93a1408299b7"),
        ({"n": 40, "seed": 6, "notes_per_patient": (1, 1)}, "caf3cd24e1cf4d08"),
        ({"n": 40, "seed": 7, "notes_per_patient": (3, 6)}, "b316ab522b6d6c65"),
        ({"n": 40, "seed": 8, "typo_rate": 0.0}, "34c0ff4ba051a277"),
        ({"n": 40, "seed": 8, "typo_rate": 1.0}, "d965dd931d006194"),
    ],
)
def test_the_notes_of_a_seed_are_those_of_every_version_before(settings, expected):
    assert digest(iter_notes(**settings))[:16] == expected


def test_same_seed_same_notes_in_every_process():
    here = digest(iter_notes(25, seed=11))
    program = (
        "import hashlib, json\n"
        "from dataclasses import asdict\n"
        "from clinical_tl.data.synthetic import iter_notes\n"
        "text = '\\n'.join(json.dumps(asdict(note)) for note in iter_notes(25, seed=11))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here


def test_seeds_differ_and_share_no_id():
    one, other = list(iter_notes(40, seed=1)), list(iter_notes(40, seed=2))
    assert not {n.text for n in one} & {n.text for n in other}
    assert not {n.note_id for n in one} & {n.note_id for n in other}
    assert not {n.patient_id for n in one} & {n.patient_id for n in other}


def test_fewer_notes_are_a_prefix_of_more():
    assert list(iter_notes(30, seed=5))[:12] == list(iter_notes(12, seed=5))


def test_global_random_state_is_left_alone():
    import random

    random.seed(7)
    before = random.getstate()
    list(iter_notes(5))
    assert random.getstate() == before


def test_patients_have_as_many_notes_as_asked():
    sizes = Counter(n.patient_id for n in iter_notes(200, seed=0, notes_per_patient=(2, 3)))
    last = next(reversed(sizes))
    assert set(sizes.values()) == {2, 3} or sizes[last] == 1
    assert all(n in (2, 3) for patient, n in sizes.items() if patient != last)
    single = Counter(n.patient_id for n in iter_notes(50, notes_per_patient=(1, 1)))
    assert set(single.values()) == {1}


def test_a_patients_comorbidities_and_stays_persist():
    by_patient = {}
    for note in iter_notes(60, seed=2, words=(400, 800), notes_per_patient=(3, 4)):
        by_patient.setdefault(note.patient_id, []).append(note)
    # Long notes mention every comorbidity, so a patient's notes share all but the main problem.
    pairs = [(n[0], n[1]) for n in by_patient.values() if len(n) > 1]
    assert all(set(a.codes[1:]) - {b.codes[0]} <= set(b.codes) for a, b in pairs)
    assert any(a.codes[0] == b.codes[0] for a, b in pairs)
    assert any(a.codes[0] != b.codes[0] for a, b in pairs)


def test_dataset_has_the_one_schema_and_round_trips():
    dataset = generate_notes(15, seed=4, length="short")
    assert len(dataset) == 15
    assert list(dataset) == list(iter_notes(15, seed=4, length="short"))
    assert len(generate_notes(0)) == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n": -1}, "n is -1"),
        ({"length": "tiny"}, "allowed: short, mixed, long"),
        ({"words": (60, 70)}, f"a range of {MIN_RANGE} or more"),
        ({"words": (0, 100)}, "at least 1"),
        ({"notes_per_patient": (0, 2)}, "1 <= fewest"),
        ({"notes_per_patient": (3, 2)}, "1 <= fewest"),
        ({"typo_rate": 1.5}, "0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(settings, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        iter_notes(**{"n": 3, **settings})


def test_all_wrong_settings_are_shown_together():
    with pytest.raises(ConfigError, match=r"n is -1.*typo_rate is -0.5"):
        iter_notes(-1, typo_rate=-0.5)


def test_typos_keep_offsets_and_words():
    clean = list(iter_notes(30, seed=6, typo_rate=0))
    typed = list(iter_notes(30, seed=6, typo_rate=0.3))
    for one, other in zip(clean, typed, strict=True):
        assert one.codes == other.codes
        assert word_count(one) == word_count(other)
        assert [s.label for s in one.spans] == [s.label for s in other.spans]
        for a, b in zip(one.spans, other.spans, strict=True):
            before, after = one.text[a.start : a.end], other.text[b.start : b.end]
            assert len(before.split()) == len(after.split())
            # One slip a word changes its length by one at most.
            assert abs(len(before) - len(after)) <= len(re.findall(r"[A-Za-z]{5,}", before))
    assert sum(a.text != b.text for a, b in zip(clean, typed, strict=True)) == 30
    assert next(iter_notes(1, typo_rate=0)).text != next(iter_notes(1, typo_rate=1)).text


def principal_reader():
    """A rule that knows the frames of principal sentences and every name of a condition."""
    specialties = {
        f"{qualifier} {name}".strip().lower(): condition.specialty
        for condition in BANK.conditions
        for name in condition.names
        for qualifier in ("", *condition.qualifiers)
    }
    names = "|".join(map(re.escape, sorted(specialties, key=len, reverse=True)))
    frames = []
    for template in BANK.sentences.facts["principal"].sentences:
        frame = r"(?:^|(?<=\s))"
        for literal, slot, _, _ in Formatter().parse(template):
            frame += re.escape(literal)
            if slot is not None:
                frame += f"({names})" if slot == "problem" else r"[^\n]{1,40}?"
        frames.append(re.compile(frame, re.IGNORECASE))

    def read(text):
        found = (m for frame in frames for m in frame.finditer(text))
        first = min(found, key=lambda m: m.start(), default=None)
        return None if first is None else specialties[first.group(1).lower()]

    return read


def test_words_alone_do_not_solve_it_but_the_text_does():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    notes = list(iter_notes(450, seed=0, typo_rate=0))
    train, test = notes[:300], notes[300:]
    gold = [note.label for note in test]
    words = make_pipeline(
        TfidfVectorizer(sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=2000, class_weight="balanced"),
    )
    words.fit([note.text for note in train], [note.label for note in train])
    of_words = f1_score(gold, words.predict([note.text for note in test]), average="macro")
    read = principal_reader()
    of_rule = sum(read(note.text) == note.label for note in test) / len(test)
    # Far above chance (1/8), far below the rule.
    assert 0.3 < of_words < 0.8
    assert of_rule >= 0.97


def test_unseen_names_are_common():
    train = list(iter_notes(300, seed=0, length="short", typo_rate=0))
    test = list(iter_notes(100, seed=1, length="short", typo_rate=0))

    def surfaces(notes, label):
        return [n.text[s.start : s.end].lower() for n in notes for s in n.spans if s.label == label]

    for label, least in (("Problem", 0.05), ("Symptom", 0.05), ("Procedure", 0.02)):
        seen = set(surfaces(train, label))
        mentions = surfaces(test, label)
        assert sum(m not in seen for m in mentions) / len(mentions) > least, label
