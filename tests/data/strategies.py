"""Notes as hypothesis draws them: odd characters, every field, None and empty."""

from __future__ import annotations

from hypothesis import strategies as st

from clinical_tl.data.notes import tidied
from clinical_tl.schema import Note, Relation, Span, visible

# Astral, combining, CRLF, lone CR, NBSP, U+2028, U+0085, BOM, zero-width: what breaks offsets.
ODD = [
    "😀",
    "e\u0301",
    "\r\n",
    "\r",
    "\n",
    "\u00a0",
    "\u2028",
    "\x85",
    "\ufeff",
    "\u200b",
    "\t",
    '"',
]
PIECES = st.one_of(
    st.sampled_from([*ODD, "fever", "no", " ", "#", "-", ";", "\\"]),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
TEXTS = (
    st.lists(PIECES, min_size=1, max_size=25)
    .map("".join)
    .filter(lambda text: len(set(visible(text))) > 1)
)
WORDS = st.text("abcXYZé0:/_-+", min_size=1, max_size=8)
VALUES = st.one_of(WORDS, st.just("two words"), st.just("é😀"))


def ranges(draw, length):
    count = draw(st.integers(1, min(3, max(1, length // 2))))
    ends = draw(
        st.lists(st.integers(0, length), min_size=2 * count, max_size=2 * count, unique=True)
        if length >= 2 * count
        else st.just([0, length])
    )
    ends.sort()
    return [(ends[i], ends[i + 1]) for i in range(0, len(ends) - 1, 2)]


@st.composite
def spans(draw, text, number, *, scores):
    pieces = ranges(draw, len(text))
    if len(set(visible(text, pieces[0][0], pieces[-1][1]))) == 1:
        pieces = [visible(text)]
    return Span(
        start=pieces[0][0],
        end=pieces[-1][1],
        label=draw(WORDS),
        id=f"T{number}",
        concepts=tuple(draw(st.lists(WORDS, max_size=2))),
        attributes=tuple(draw(st.lists(st.tuples(WORDS, VALUES), max_size=2))),
        fragments=tuple(pieces) if len(pieces) > 1 else (),
        score=draw(st.none() | st.floats(0, 1)) if scores else None,
    )


@st.composite
def notes(draw, *, with_fields=True, note_id=None):
    text = draw(TEXTS)
    count = draw(st.none() | st.integers(0, 4))
    own = (
        None
        if count is None
        else tuple(draw(spans(text, i, scores=with_fields)) for i in range(1, count + 1))
    )
    relations = None
    if count and draw(st.booleans()):
        ids = st.sampled_from([span.id for span in own])
        pairs = draw(st.lists(st.tuples(ids, ids, WORDS), max_size=3))
        relations = tuple(Relation(*pair) for pair in pairs)
    fields = {}
    if with_fields:
        fields = {
            "patient_id": draw(st.none() | WORDS.filter(lambda word: any(map(str.isalnum, word)))),
            "label": draw(st.none() | VALUES),
            "codes": draw(st.none() | st.lists(WORDS, max_size=3).map(tuple)),
            "metadata": draw(
                st.dictionaries(
                    WORDS, st.none() | st.integers() | VALUES | st.floats(0, 1), max_size=2
                )
            ),
        }
    return tidied(Note(note_id or draw(WORDS), text, spans=own, relations=relations, **fields))


def note_sets(**options):
    return (
        st.integers(1, 4)
        .flatmap(lambda n: st.tuples(*(notes(note_id=f"n{i}", **options) for i in range(n))))
        .map(list)
    )
