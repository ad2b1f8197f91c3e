"""Rules on the public corpora: exact counts, and figures that must not fall."""

import pytest

from clinical_tl.data.corpora import load_corpus
from clinical_tl.metrics.entities import entity_scores
from clinical_tl.rules import RuleMatcher, from_annotations, from_lexicon
from tests.data.corpora import corpus


@pytest.fixture(scope="module")
def ncbi():
    splits = load_corpus("ncbi_disease", folder=corpus("ncbi_disease").parent)
    return {name: list(notes) for name, notes in splits.items()}


def dev_scores(rules, notes):
    predictions = RuleMatcher(rules, context=False).predict(notes)
    return entity_scores([n.spans for n in notes], [p.spans for p in predictions])


def test_rules_of_the_training_mentions(ncbi):
    rules = from_annotations(ncbi["train"])
    assert len(rules) > 1500
    assert rules.pruned["inside a word"] == 2
    assert dev_scores(rules, ncbi["dev"]).f1 > 0.68


def test_a_real_lexicon_is_read_whole():
    path = corpus("lexicons") / "diseases_mesh.tsv.gz"
    rules = from_lexicon(path, name_column="variant", id_column="mesh_id", label="Disease")
    assert len(rules) + sum(rules.pruned.values()) == 72_297
    assert sum(rules.pruned.values()) < 20
