import warnings
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from clinical_tl.errors import TaskError
from clinical_tl.metrics.entities import entity_scores, strict_seqeval
from clinical_tl.schema import Span

spans = st.builds(
    lambda start, length, label: Span(start, start + length, label),
    st.integers(0, 12),
    st.integers(1, 5),
    st.sampled_from(["Drug", "Disease"]),
)
notes = st.lists(st.tuples(st.lists(spans, max_size=6), st.lists(spans, max_size=6)), min_size=1)


def both(pairs):
    return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]


def test_a_case_by_hand():
    gold = [[Span(0, 4, "Drug"), Span(10, 15, "Disease")], [Span(3, 9, "Disease")], []]
    predicted = [
        [Span(0, 4, "Drug"), Span(10, 14, "Disease")],
        [Span(3, 9, "Drug")],
        [Span(1, 2, "Drug")],
    ]
    scores = entity_scores(gold, predicted)
    assert (scores.precision, scores.recall, scores.f1) == (1 / 4, 1 / 3, 2 / 7)
    # Drug: tp 1, fp 2, F1 1/2; Disease: fp 1, fn 2, F1 0.
    assert scores.macro_f1 == 1 / 4
    assert (scores.overlap_precision, scores.overlap_recall) == (2 / 4, 2 / 3)
    assert scores.overlap_f1 == 4 / 7
    assert [(row.label, row.tp, row.fp, row.fn) for row in scores.per_label] == [
        ("Disease", 0, 1, 2),
        ("Drug", 1, 2, 0),
    ]
    assert (scores.notes, scores.gold, scores.predicted) == (3, 3, 4)


def test_the_same_span_in_another_note_is_no_match():
    scores = entity_scores([[Span(0, 4, "Drug")], []], [[], [Span(0, 4, "Drug")]])
    assert scores.f1 == scores.overlap_f1 == 0


def test_gold_that_the_model_never_saw_costs_recall():
    # A model that cuts notes at 512 tokens finds everything before the cut and nothing after.
    gold = [[Span(i * 100, i * 100 + 5, "Drug") for i in range(40)]]
    scores = entity_scores(gold, [gold[0][:10]], lost=30)
    assert (scores.precision, scores.recall) == (1, 0.25)
    assert scores.f1 == 0.4
    assert (scores.lost, scores.share_lost) == (30, 0.75)


def test_a_gold_mention_given_twice_is_one_mention_to_find():
    twice = [Span(0, 4, "Drug", concepts=("D1",)), Span(0, 4, "Drug", concepts=("D2",))]
    scores = entity_scores([twice], [[Span(0, 4, "Drug", score=0.9)]])
    assert (scores.f1, scores.overlap_f1) == (1, 1)
    assert (scores.gold, scores.duplicate_gold) == (1, 1)


def test_a_mention_predicted_twice_is_right_once():
    scores = entity_scores([[Span(0, 4, "Drug")]], [[Span(0, 4, "Drug")] * 3])
    assert (scores.precision, scores.recall) == (1 / 3, 1)
    assert (scores.overlap_precision, scores.overlap_recall) == (1 / 3, 1)


def test_covering_a_discontinuous_mention_does_not_find_it():
    gold = Span(0, 20, "Disease", fragments=((0, 4), (15, 20)))
    cover, gap = Span(0, 20, "Disease"), Span(6, 10, "Disease")
    scores = entity_scores([[gold]], [[cover]])
    assert (scores.f1, scores.overlap_f1) == (0, 1)
    assert entity_scores([[gold]], [[gap]]).overlap_f1 == 0
    assert entity_scores([[gold]], [[gold]]).f1 == 1
    assert entity_scores([[gap]], [[gold]]).overlap_f1 == 0


def test_sharing_an_end_is_not_sharing_a_character():
    assert entity_scores([[Span(0, 4, "Drug")]], [[Span(4, 8, "Drug")]]).overlap_f1 == 0
    assert entity_scores([[Span(4, 8, "Drug")]], [[Span(0, 4, "Drug")]]).overlap_f1 == 0
    assert entity_scores([[Span(0, 5, "Drug")]], [[Span(4, 8, "Drug")]]).overlap_f1 == 1


def test_one_prediction_can_not_find_two_mentions():
    gold = [[Span(0, 4, "Drug"), Span(5, 9, "Drug")]]
    scores = entity_scores(gold, [[Span(0, 9, "Drug")]])
    assert (scores.overlap_precision, scores.overlap_recall) == (1, 1 / 2)


def test_matching_by_overlap_is_optimal_where_greedy_is_not():
    # From left to right 0–10 takes 0–3, its first overlap, and leaves 1–2 with nothing.
    gold = [[Span(0, 10, "Drug"), Span(1, 2, "Drug")]]
    predicted = [[Span(0, 3, "Drug"), Span(8, 9, "Drug")]]
    assert entity_scores(gold, predicted).overlap_f1 == 1


def best_matching(gold, predicted):
    """Size of the largest matching, by trying every set of pairs."""
    pairs = [
        (i, j)
        for i, g in enumerate(dict.fromkeys(gold))
        for j, p in enumerate(predicted)
        if g.label == p.label and set(range(g.start, g.end)) & set(range(p.start, p.end))
    ]
    for size in range(min(len(gold), len(predicted)), 0, -1):
        for chosen in combinations(pairs, size):
            if len({i for i, _ in chosen}) == len({j for _, j in chosen}) == size:
                return size
    return 0


@settings(deadline=None, max_examples=60)
@given(st.lists(spans, max_size=4), st.lists(spans, max_size=4))
def test_overlap_equals_brute_force(gold, predicted):
    scores = entity_scores([gold], [predicted])
    assert scores.overlap_recall * scores.gold == pytest.approx(best_matching(gold, predicted))


@settings(deadline=None, max_examples=60)
@given(notes)
def test_figures_agree_with_one_another(pairs):
    gold, predicted = both(pairs)
    scores = entity_scores(gold, predicted)
    distinct = [set(note) for note in gold]
    found = sum(len(g & set(p)) for g, p in zip(distinct, predicted, strict=True))
    assert sum(row.tp for row in scores.per_label) == found
    assert sum(row.support for row in scores.per_label) == sum(map(len, distinct)) == scores.gold
    assert scores.duplicate_gold == sum(map(len, gold)) - scores.gold
    assert sum(row.tp + row.fp for row in scores.per_label) == scores.predicted
    assert 0 <= scores.f1 <= scores.overlap_f1 <= 1
    assert entity_scores(gold, [list(note) for note in distinct]).f1 == (
        1 if found or any(gold) else 0
    )


def test_nothing_annotated_and_nothing_predicted_is_zero():
    scores = entity_scores([[]], [[]])
    assert (scores.f1, scores.macro_f1, scores.overlap_f1, scores.share_lost) == (0, 0, 0, 0)


def test_entity_summary_is_flat():
    summary = entity_scores([[Span(0, 4, "Drug")]], [[Span(0, 4, "Drug")]]).summary()
    assert summary["f1"] == summary["overlap_f1"] == 1
    assert all(isinstance(value, int | float) for value in summary.values())


@pytest.mark.parametrize(
    ("gold", "predicted", "lost", "message"),
    [
        ([[]], [[], []], 0, "gold has 1 notes, the predictions 2"),
        ([], [], 0, "no notes to score"),
        ([None], [[]], 0, "gold spans of the note at position 0 are of type NoneType"),
        ([[]], [None], 0, "predicted spans of the note at position 0"),
        ([[Span(0, 1, "Drug")]], [[]], 2, "lost is 2; allowed: 0 to 1"),
        ([[]], [[]], -1, "lost is -1; allowed: 0 to 0"),
    ],
)
def test_bad_spans_are_refused(gold, predicted, lost, message):
    with pytest.raises(TaskError, match=message):
        entity_scores(gold, predicted, lost=lost)


tags = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
sequences = st.lists(
    st.lists(st.tuples(tags, tags), min_size=1, max_size=8), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=150)
@given(sequences)
def test_equal_to_seqeval_strict(pairs):
    gold = [[tag for tag, _ in sequence] for sequence in pairs]
    predicted = [[tag for _, tag in sequence] for sequence in pairs]
    scores = strict_seqeval(gold, predicted)
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    assert scores.precision == pytest.approx(precision_score(gold, predicted, **strict), abs=1e-12)
    assert scores.recall == pytest.approx(recall_score(gold, predicted, **strict), abs=1e-12)
    assert scores.f1 == pytest.approx(f1_score(gold, predicted, **strict), abs=1e-12)
    per_type = precision_recall_fscore_support(
        gold, predicted, average=None, scheme=IOB2, zero_division=0
    )
    ours = [(row.precision, row.recall, row.f1, row.support) for row in scores.per_label]
    for mine, theirs in zip(ours, zip(*per_type, strict=True), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-12)
    if ours:
        macro = f1_score(gold, predicted, average="macro", **strict)
        assert scores.macro_f1 == pytest.approx(macro, abs=1e-12)


def test_tags_that_are_not_iob2_earn_nothing():
    gold, predicted = [["O", "B-A", "I-A", "O"]], [["O", "I-A", "I-A", "O"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lenient = f1_score(gold, predicted)
    assert lenient == 1
    assert strict_seqeval(gold, predicted).f1 == 0


def test_types_never_predicted_and_no_entities_at_all_warn_of_nothing():
    scores = strict_seqeval([["B-A", "B-B"]], [["B-A", "O"]])
    assert (scores.precision, scores.recall, scores.macro_f1) == (1, 1 / 2, 1 / 2)
    nothing = strict_seqeval([["O"]], [["O"]])
    assert (nothing.f1, nothing.macro_f1, nothing.per_label) == (0, 0, ())


def test_seqeval_summary_names_its_source():
    assert strict_seqeval([["B-A"]], [["B-A"]]).summary() == {
        "seqeval_f1": 1.0,
        "seqeval_precision": 1.0,
        "seqeval_recall": 1.0,
        "seqeval_macro_f1": 1.0,
    }


def test_bad_tags_are_located_and_never_shown():
    secret = "Wojciechowska"
    with pytest.raises(TaskError, match="sequence 1, token 2: the predicted tag") as caught:
        strict_seqeval([["O"], ["O"] * 3], [["O"], ["O", "O", secret]])
    assert secret not in str(caught.value)
    for tag in ("B-", "I", "S-A", ""):
        with pytest.raises(TaskError, match="not IOB2"):
            strict_seqeval([[tag]], [["O"]])
    with pytest.raises(TaskError, match="sequence 0 has 1 gold tags and 2 predicted"):
        strict_seqeval([["O"]], [["O", "O"]])
    with pytest.raises(TaskError, match="no tag sequences"):
        strict_seqeval([], [])
