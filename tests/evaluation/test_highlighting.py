from clinical_tl.evaluation.highlighting import displacy_record, highlight
from clinical_tl.schema import Span

TEXT = "Aspirin 81 mg\nfor chest pain."
SPANS = (Span(18, 28, "Problem"), Span(0, 7, "Drug"), Span(0, 13, "Drug"))


def test_spans_are_marked_once_from_left_to_right():
    assert highlight(TEXT, SPANS[:2]) == "[Aspirin | Drug] 81 mg for [chest pain | Problem]."
    assert highlight(TEXT, SPANS) == "[Aspirin 81 mg | Drug] for [chest pain | Problem]."


def test_long_text_is_cut_around_the_first_span():
    marked = highlight("x " * 300 + "fever" + " y" * 300, [Span(600, 605, "P")], width=60)
    assert "[fever | P]" in marked
    assert marked.startswith("…")
    assert marked.endswith("…")
    assert len(marked) <= 62


def test_displacy_renders_the_record():
    from spacy import displacy

    record = displacy_record(TEXT, SPANS[:2], title="n1")
    html = displacy.render(record, style="ent", manual=True, jupyter=False)
    assert html.index("Aspirin") < html.index("Drug") < html.index("chest pain")
