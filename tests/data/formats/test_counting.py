"""Borders of mentions as annotation tools set and count them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.formats.counting import Quoted, settle
from clinical_tl.data.formats.problems import Faults
from clinical_tl.data.notes import Notes, as_notes, tidied
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import WIDTHLESS, Note, Prediction, Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from tests.data.strategies import TEXTS, ranges


def brat(folder, text, *lines):
    root = folder / "brat"
    root.mkdir(exist_ok=True)
    (root / "a.txt").write_bytes(text.encode())
    (root / "a.ann").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return next(iter(read_notes(root, format="brat")))


def json_line(folder, text, spans):
    path = folder / "a.jsonl"
    path.write_text(json.dumps({"note_id": "a", "text": text, "spans": spans}), encoding="utf-8")
    return next(iter(read_notes(path)))


def words(note):
    return [note.text[span.start : span.end] for span in note.spans]


@pytest.mark.parametrize("gap", [" ", "\n", "\r\n", " \n\t ", "\u00a0", "\u200b\n", "\ufeff", ""])
def test_pieces_with_blanks_alone_between_are_one_mention(tmp_path, gap, caplog):
    text = f"Severe chest{gap}pain now"
    pieces = [(7, 12), (12 + len(gap), 16 + len(gap))]
    whole = Span(7, 16 + len(gap), "P", id="T1")
    split = Span(7, whole.end, "P", id="T1", fragments=tuple(pieces))
    offsets = ";".join(f"{start} {end}" for start, end in pieces)
    record = {"start": 7, "end": whole.end, "label": "P", "id": "T1", "fragments": pieces}
    notes = [
        brat(tmp_path, text, f"T1\tP {offsets}\tchest pain"),
        json_line(tmp_path, text, [record]),
        *list(read_notes([Note("a", text, spans=(split,))])),
        *as_notes([Note("a", text, spans=(split,))]),
        *as_notes(Notes([Note("a", text, spans=(split,))])),
    ]
    assert [note.spans for note in notes] == [(whole,)] * 5
    assert "1 mentions with blanks at their ends" in caplog.text


def test_words_between_the_pieces_keep_them_apart(tmp_path):
    note = brat(tmp_path, "Severe chest or\npain", "T1\tP 7 12;13 15;16 20\tchest or pain")
    assert note.spans == (Span(7, 20, "P", id="T1"),)
    note = brat(tmp_path, "Severe chest or pain", "T1\tP 0 6;7 12;16 20\tSevere chest pain")
    assert note.spans[0].fragments == ((0, 12), (16, 20))


@pytest.mark.parametrize("blank", [" ", "\n", "\u200b", "\ufeff", "\u00a0 ", "\u00ad"])
def test_a_mention_with_blanks_at_its_ends_counts_as_found_without(blank):
    text = f"no{blank}fever{blank}now"
    start, end = 2, 7 + 2 * len(blank)
    notes = [Note("a", text, spans=(Span(start, end, "S"),))]
    found = Span(start + len(blank), end - len(blank), "S")
    task = EntityRecognition.from_notes(notes)
    report = task.evaluate(notes, [Prediction("a", spans=(found,))]).summary()
    assert (report["f1"], report["share_lost"]) == (1, 0)


def test_a_mention_of_blanks_alone_is_a_fault():
    with pytest.raises(FaultyNotesError, match="a mention of blanks alone, 2–3"):
        read_notes([Note("a", "no fever", spans=(Span(2, 3, "S"),))])


TEXT = "Pain in 🦵 left\r\nknee, 38 °C.\nTakes aspirin,\r\nno ibuprofen"
SAID = ["🦵 left", "knee", "aspirin", "ibuprofen"]


def counted(view):
    """Offsets into what a tool sees of the text, of the mentions that it quotes."""
    found = [(view.index(word), len(word)) for word in SAID]
    return [(start, start + length) for start, length in found]


def of_units(encode):
    return [
        (len(encode(TEXT[: TEXT.index(w)])), len(encode(TEXT[: TEXT.index(w) + len(w)])))
        for w in SAID
    ]


WAYS = {
    "CRLF line ends as one character": counted(TEXT.replace("\r\n", "\n")),
    "LF line ends as two": counted(TEXT.replace("\r\n", "\n").replace("\n", "\r\n")),
    "bytes": of_units(str.encode),
    "units of UTF-16": of_units(lambda text: range(len(text.encode("utf-16-le")) // 2)),
    "units of UTF-16, CRLF line ends as one character": of_units(
        lambda text: range(len(text.replace("\r\n", "\n").encode("utf-16-le")) // 2)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_offsets_are_read_as_what_they_count(tmp_path, caplog, way):
    lines = [
        f"T{i}\tX {start} {end}\t{w}"
        for i, (w, (start, end)) in enumerate(zip(SAID, WAYS[way], strict=True))
    ]
    spans = [
        {"start": start, "end": end, "label": "X", "text": w}
        for w, (start, end) in zip(SAID, WAYS[way], strict=True)
    ]
    for note in (brat(tmp_path, TEXT, *lines), json_line(tmp_path, TEXT, spans)):
        assert words(note) == SAID
        assert note.text == TEXT
    assert caplog.text.count(f"1 notes whose offsets count {way}") == 2


def test_offsets_without_a_byte_order_mark(tmp_path, caplog):
    spans = [{"start": 3, "end": 8, "label": "X", "text": "fever"}]
    assert words(json_line(tmp_path, "\ufeffno fever", spans)) == ["fever"]
    assert "whose offsets count no byte-order mark" in caplog.text


def test_one_mention_that_fits_no_way_of_counting_leaves_the_fault_with_a_hint(tmp_path):
    with pytest.raises(FaultyNotesError) as caught:
        brat(
            tmp_path,
            "one\r\ntwo fever\r\nno cough",
            "T1\tX 8 13\tfever",
            "T2\tX 17 22\tcough",
            "T3\tX 0 3\tpain",
        )
    assert "2 of 3 mentions would fit if the offsets counted CRLF line ends as one" in str(
        caught.value
    )
    assert "pain" not in str(caught.value)


def test_two_ways_of_counting_that_differ_are_not_chosen_from():
    text = "\ufeffaa\r\n aaaa b"
    mentions = [Quoted([(0, 1)], "a")]
    faults = Faults("x")
    assert settle(text, mentions, faults).counts_mark is False
    assert len(faults.changed) == 1


def test_pubtator_in_bytes(tmp_path):
    path = tmp_path / "a.pubtator"
    path.write_text("1|t|Ménière\n1|a|38 °C fever\n1\t17\t22\tfever\tS\t\n", encoding="utf-8")
    (note,) = list(read_notes(path))
    assert words(note) == ["fever"]


@given(st.data())
def test_tidying_twice_is_tidying_once_and_keeps_the_words(data):
    text = data.draw(TEXTS)
    pieces = ranges(data.draw, len(text))
    span = Span(
        pieces[0][0], pieces[-1][1], "x", fragments=tuple(pieces) if len(pieces) > 1 else ()
    )
    once = tidied(Note("a", text, spans=(span,)))
    assert tidied(once) == once
    (neat,) = once.spans
    kept = " ".join(text[s:e] for s, e in neat.fragments or [(neat.start, neat.end)])
    given_words = " ".join(text[s:e] for s, e in pieces)
    if neat.fragments or not span.fragments:
        # Pieces that only a mark without width parts are one, without a blank between them.
        def letters(words):
            return "".join(re.sub(f"[{WIDTHLESS}]", "", words).split())

        assert letters(kept) == letters(given_words)
