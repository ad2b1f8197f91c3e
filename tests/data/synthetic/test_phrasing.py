import random

import pytest

from clinical_tl.data.synthetic.patient import sample_patient, sample_stay
from clinical_tl.data.synthetic.phrasing import Phrasing
from clinical_tl.data.synthetic.word_bank import (
    MAX_SENTENCE_WORDS,
    OTHER_FACTS,
    PROBLEM_FACTS,
    word_bank,
)

BANK = word_bank()


@pytest.fixture
def phrasings():
    """As of thirty authors."""
    rng = random.Random(0)
    stays = [sample_stay(BANK, sample_patient(BANK, k, rng), rng) for k in range(30)]
    return [Phrasing(BANK, stay, day=12, rng=rng) for stay in stays]


def slots(sentence):
    return {piece.label for piece in sentence.pieces if piece.label}


@pytest.mark.parametrize("kind", [*PROBLEM_FACTS, *OTHER_FACTS])
def test_a_sentence_asserts_what_its_kind_does(phrasings, kind):
    for phrasing in phrasings:
        one, other = BANK.conditions[:2]
        if kind in PROBLEM_FACTS:
            sentence = phrasing.problem(kind, one, [other])
            codes = {piece.code for piece in sentence.pieces} - {None}
            assert one.code in codes <= {one.code, other.code}
            expected = PROBLEM_FACTS[kind]
        else:
            sentence = phrasing.statement(kind)
            expected = OTHER_FACTS[kind]
        assert {piece.assertion for piece in sentence.pieces} <= {None, expected}


def test_every_slot_is_filled_within_the_words_that_are_allowed(phrasings):
    facts = BANK.sentences.facts.values()
    tables = (BANK.sentences.filler, BANK.sentences.daily)
    templates = [template for table in tables for group in table.values() for template in group]
    templates += [sentence for wording in facts for sentence in wording.sentences]
    longest = 0
    for phrasing in phrasings:
        for condition in BANK.conditions[::9]:
            for template in templates:
                sentence = phrasing._filled(template, "present", condition, condition)
                longest = max(longest, sentence.words)
                assert not {"{", "}"} & set("".join(piece.text for piece in sentence.pieces))
    assert 15 < longest <= MAX_SENTENCE_WORDS
