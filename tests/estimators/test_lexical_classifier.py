"""`LexicalClassifier`: scikit-learn's numbers, and which words it keeps."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators.lexical_classifier import (
    STRENGTH,
    STRENGTH_OF_MANY,
    LexicalClassifier,
    lexical_terms,
)

TEXTS = [
    "Dyspnea, cough and more cough",
    "cough at night, no fever",
    "fever and dyspnea",
    "knee pain, pain at rest",
    "pain in the knee and the hip",
    "hip pain at night",
    "itching rash at night",
    "a rash, no fever, itching",
]
CLASSES = np.array(["lung", "lung", "lung", "knee", "knee", "knee", "skin", "skin"])
MANY = np.array(
    [[1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 1], [0, 1, 1]]
)
NEW = ["fever with a rash", "the hip", "nothing of it"]


def reference(y, texts=NEW, **settings):
    vectoriser = TfidfVectorizer(analyzer=lexical_terms, sublinear_tf=True, min_df=1)
    model = LogisticRegression(max_iter=1000, **settings).fit(vectoriser.fit_transform(TEXTS), y)
    return vectoriser, model.predict_proba(vectoriser.transform(texts))


@pytest.mark.parametrize("weights", [None, "balanced", {"lung": 3.0, "knee": 1.0, "skin": 0.5}])
def test_of_one_label_a_text_it_says_what_scikit_learn_does(weights):
    found = LexicalClassifier(min_notes=1, class_weight=weights).fit(TEXTS, CLASSES)
    vectoriser, expected = reference(CLASSES, C=STRENGTH, class_weight=weights)
    assert found.terms_ == tuple(vectoriser.get_feature_names_out())
    np.testing.assert_allclose(found.idf_, vectoriser.idf_)
    np.testing.assert_allclose(found.predict_proba(NEW), expected, atol=1e-6)
    assert found.predict(NEW).tolist() == found.classes_[expected.argmax(axis=1)].tolist()


def test_so_it_does_of_two_classes():
    two = CLASSES == "lung"
    found = LexicalClassifier(min_notes=1, strength=2.0).fit(TEXTS, two)
    _, expected = reference(two, C=2.0, class_weight="balanced")
    np.testing.assert_allclose(found.predict_proba(NEW), expected, atol=1e-6)
    assert found.coef_.shape == (2, len(found.terms_))


def test_and_of_many_labels_a_text():
    found = LexicalClassifier(min_notes=1).fit(TEXTS, MANY)
    for column in range(2):
        _, expected = reference(
            MANY[:, column], C=STRENGTH_OF_MANY, solver="liblinear", class_weight="balanced"
        )
        np.testing.assert_allclose(found.predict_proba(NEW)[:, column], expected[:, 1], atol=1e-6)
    # What every text has is as likely in each.
    assert np.ptp(found.predict_proba(NEW)[:, 2]) == 0
    assert found.predict(NEW)[:, 2].tolist() == [1, 1, 1]


def test_words_are_letters_alone_and_no_single_ones():
    text = "Hb A1c 7.2%, T2DM; d'accord naïve Müller x 2019-03-12 foo_bar"
    assert list(lexical_terms(text)) == ["hb", "accord", "naïve", "müller"]


def test_scripts_without_blanks_give_letters_and_pairs():
    assert list(lexical_terms("咳嗽三天 ok")) == [
        "咳", "嗽", "三", "天", "咳嗽", "嗽三", "三天", "ok",
    ]  # fmt: skip


def test_who_has_a_word_are_patients_where_they_are_known():
    texts = ["fever smith", "fever smith", "fever smith", "fever cough", "cough rash"]
    y = [0, 0, 0, 1, 1]
    assert LexicalClassifier().fit(texts, y).terms_ == ("fever", "smith")
    patients = ["p", "p", "p", "q", "r"]
    assert LexicalClassifier(min_notes=2).fit(texts, y, patients).terms_ == ("cough", "fever")
    # A note of nobody known is one of its own.
    assert LexicalClassifier().fit(texts, y, [None] * 5).terms_ == ("fever", "smith")


WORDS = st.sampled_from(["fever", "cough", "smith", "rash", "b12", "x", "咳嗽", "ward4"])
NOTES = st.lists(
    st.tuples(st.lists(WORDS, max_size=5), st.sampled_from(["p", "q", "r", None])),
    min_size=2,
    max_size=8,
)


@settings(max_examples=50)
@given(notes=NOTES, min_notes=st.integers(1, 3), described=st.booleans())
@example([(["fever"], "p"), (["fever"], "p"), (["cough"], None), (["cough"], None)], 2, False)
def test_no_word_is_kept_that_fewer_have(notes, min_notes, described):
    texts = [" ".join(words) for words, _ in notes]
    owners = [row if owner is None else owner for row, (_, owner) in enumerate(notes)]
    descriptions = ["rash of smith", "hip"] if described else None
    y = np.eye(2, dtype=int)[np.arange(len(notes)) % 2]
    classifier = LexicalClassifier(min_notes=min_notes)
    try:
        classifier.fit(texts, y, [owner for _, owner in notes], descriptions=descriptions)
    except TaskError:
        return
    own = {term for text in descriptions or [] for term in lexical_terms(text)}
    for term in set(classifier.terms_) - own:
        having = zip(owners, texts, strict=True)
        assert len({owner for owner, text in having if term in lexical_terms(text)}) >= min_notes
    assert own <= set(classifier.terms_)


def test_hashed_it_keeps_no_word_and_says_nearly_the_same(tmp_path):
    # Labels are no words of the notes: as numbers they hide none here.
    y = np.unique(CLASSES, return_inverse=True)[1]
    plain = LexicalClassifier(min_notes=1).fit(TEXTS, y)
    hashed = LexicalClassifier(min_notes=1, hashed=True).fit(TEXTS, y)
    assert hashed.terms_ is None
    np.testing.assert_allclose(hashed.predict_proba(NEW), plain.predict_proba(NEW), atol=1e-6)
    words = {term.encode() for text in TEXTS for term in lexical_terms(text) if len(term) > 3}
    for classifier, kept in ((plain, words), (hashed, set())):
        (file,) = classifier.save(tmp_path / str(len(kept))).iterdir()
        content = file.read_bytes()
        assert {word for word in words if word in content} == kept


@pytest.mark.parametrize("hashed", [False, True])
def test_a_description_finds_a_label_that_no_text_had(hashed):
    y = np.column_stack([MANY[:, 0], np.zeros(len(MANY), dtype=int)])
    classifier = LexicalClassifier(min_notes=1, hashed=hashed)
    plain = clone(classifier).fit(TEXTS, y).predict_proba(["fracture of femur", "cough"])
    described = classifier.fit(TEXTS, y, descriptions=["cough", "fracture of the femur"])
    found = described.predict_proba(["fracture of femur", "cough"])
    assert plain[0, 1] == plain[1, 1] < 0.01
    assert found[0, 1] > 0.5 > 0.01 > found[1, 1]


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("y", [CLASSES, MANY], ids=["one", "many"])
def test_saved_and_loaded_it_says_the_same(y, hashed, tmp_path):
    fitted = LexicalClassifier(min_notes=2, hashed=hashed, weight=0.25).fit(TEXTS, y)
    again = LexicalClassifier.load(fitted.save(tmp_path))
    np.testing.assert_array_equal(again.logits(NEW), fitted.logits(NEW))
    assert again.predict(NEW).tolist() == fitted.predict(NEW).tolist()
    assert again.get_params() == fitted.get_params()
    assert again.terms_ == fitted.terms_
    file = tmp_path / "lexical_classifier.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"lexical_classifier\.safetensors is damaged"):
        LexicalClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("fit", "error", "message"),
    [
        (lambda c: c.fit(TEXTS, CLASSES[:3]), TaskError, "8 texts, 3 rows of y and no groups"),
        (lambda c: c.fit(TEXTS, CLASSES, ["p"]), TaskError, "8 rows of y and 1 groups"),
        (lambda c: c.fit(["a 1", "b 2"], [0, 1]), TaskError, "none of the 2 texts has a word"),
        (lambda c: c.fit(["foo", "bar"], [0, 1]), TaskError, "that 3 of them"),
        (lambda c: c.fit(TEXTS, ["lung"] * 8), TaskError, "one class only"),
        (lambda c: c.set_params(min_notes=0).fit(TEXTS, CLASSES), ConfigError, "min_notes"),
        (lambda c: c.predict(NEW), TaskError, r"call fit\(\) first"),
    ],
)
@pytest.mark.parametrize("hashed", [False, True])
def test_misuse_is_refused(fit, error, message, hashed):
    with pytest.raises(error, match=message) as caught:
        fit(LexicalClassifier(hashed=hashed))
    assert "foo" not in str(caught.value)


def test_logits_are_of_the_probabilities():
    many = LexicalClassifier(min_notes=1).fit(TEXTS, MANY)
    np.testing.assert_allclose(expit(many.logits(NEW)), many.predict_proba(NEW))
