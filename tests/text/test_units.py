import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import clinical_tl as ctl
from clinical_tl.network.encoder import find_encoder
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.scripts import characters
from clinical_tl.text.tags import Representation, TagSet
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.units import find_units, text_units
from tests.data.corpora import corpus
from tests.tiny_encoders import build_tokenizer


def of_letters() -> PreTrainedTokenizerFast:
    """A WordPiece that knows every letter below, and words in part."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789患者高血压肺炎ไข้アスピかな한국어の는을بقلیמל"
    known = dict.fromkeys([*letters, *("##" + c for c in letters), "pain", "##druck", "##국어"])
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", *known])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


TOKENIZERS = {
    "letters": NoteTokenizer(of_letters()),
    **{kind: NoteTokenizer(build_tokenizer(kind)) for kind in ("wordpiece", "byte_bpe", "unigram")},
}
LABELS = LabelSet(("A", "B"))
PIECES = [
    *("pain", "Denies", "Blutdruck", "abfall", "10", "mg", "HbA1c", "é", "e\u0301", "ß", "½"),
    *("患者", "高血压", "肺炎", "アスピリン", "が", "ไข้", "กำ", "ก็", "ຂ້", "မြ", "་ཀི"),
    *("한국어", "는", "\u1112\u1161\u11ab", "قلب", "ی\u200c", "ב", "מל", "कीवी", "क्\u200dष"),
    *("🫀", "👩\u200d⚕\ufe0f", "👍🏽", "🇩🇪", "\u200b", "\ufeff", "\u00ad"),
    *(",", "_", " ", "\n", "。"),
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)


def starts_anew(before):
    """Whether a mark after this character stands on no letter: what `regex`'s `\\X` ends at."""
    return before.isspace() or unicodedata.category(before) in ("Cc", "Zl", "Zp")


def stretches(text, units):
    return [text[s:e] for s, e in zip(units.starts.tolist(), units.ends.tolist(), strict=True)]


@pytest.mark.parametrize("size", ["words", "tokens"])
@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXTS, data=st.data())
@settings(deadline=None)
def test_mentions_between_any_units_come_back_as_they_were(kind, size, text, data):
    (tokens,) = TOKENIZERS[kind].encode([text])
    units = find_units(text, tokens, size)
    spans, at = [], 0
    while at < len(units):
        last = data.draw(st.integers(at, min(at + 3, len(units) - 1)))
        if data.draw(st.booleans()):
            label = data.draw(st.sampled_from(LABELS.names))
            spans.append(Span(int(units.starts[at]), int(units.ends[last]), label))
        at = last + 1
    tag_set = TagSet(LABELS)
    tags, found = tag_set.encode(units, spans)
    assert found == Representation(gold=len(spans))
    assert tag_set.decode(units, tags) == tuple(spans)


@pytest.mark.parametrize("size", ["words", "tokens"])
@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXTS)
@example(text="\x08\u07eb")
@settings(deadline=None)
def test_units_are_apart_visible_and_made_of_whole_characters(kind, size, text):
    (tokens,) = TOKENIZERS[kind].encode([text])
    bounds = characters(text)
    for units in (find_units(text, tokens, size), text_units(text, size)):
        assert (units.starts < units.ends).all()
        assert (units.ends[:-1] <= units.starts[1:]).all()
        assert set(units.starts) <= set(bounds[:, 0])
        assert set(units.ends) <= set(bounds[:, 1])
        assert not any(stretch.isspace() for stretch in stretches(text, units))
        first = [unicodedata.category(text[start]) for start in units.starts if start]
        before = [starts_anew(text[start - 1]) for start in units.starts if start]
        assert all(b or c not in ("Mn", "Me") for b, c in zip(before, first, strict=True))


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXTS)
@settings(deadline=None)
def test_finer_units_only_add_borders_and_every_token_may_open_one(kind, text):
    (tokens,) = TOKENIZERS[kind].encode([text])
    words, fine = find_units(text, tokens), find_units(text, tokens, "tokens")
    assert set(words.starts) <= set(fine.starts)
    assert set(words.ends) <= set(fine.ends)
    character_starts = set(characters(text)[:, 0])
    seen = {int(s) for s, e in zip(tokens.starts, tokens.ends, strict=True) if e > s}
    visible = {s for s in seen & character_starts if not text[s].isspace()}
    assert visible <= set(fine.starts)
    assert (fine.borders[0] == words.borders[0]).all()


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram"])
@given(st.lists(st.sampled_from(["患", "者", "CT", "ไข้", "กำ", "ア", " ", "3", "。"])).map("".join))
@settings(deadline=None)
def test_letters_of_scripts_without_blanks_are_units_as_far_as_tokens_allow(kind, text):
    (tokens,) = TOKENIZERS[kind].encode([text])
    joined = {"患者", "者患", "アア", "患CT", "CTア"}
    for size in ("words", "tokens"):
        assert not joined & set(stretches(text, text_units(text, size)))
    units = find_units(text, tokens)
    for start in map(int, tokens.starts[tokens.ends > tokens.starts]):
        if text[start] in "患者ア":
            assert start in units.starts


def test_words_of_other_scripts_stay_whole_unless_units_are_tokens():
    text = "PainDenies 10mg Blutdruckabfall 한국어는 cafe\u0301s"
    assert stretches(text, text_units(text)) == [
        *("PainDenies", "10", "mg", "Blutdruckabfall", "한국어는", "cafe\u0301s")
    ]
    (tokens,) = TOKENIZERS["letters"].encode([text])
    fine = stretches(text, find_units(text, tokens, "tokens"))
    assert fine[:2] == ["Pain", "D"]
    assert "druck" in fine
    assert "국어" in fine
    assert stretches(text, find_units(text, tokens)) == stretches(text, text_units(text))


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (0, 4, "inside_word"),
        (2, 4, "inside_token"),
        (0, 10, None),
        (0, 11, "on_space"),
        (10, 13, "on_space"),
        (11, 14, None),
        (12, 14, "inside_word"),
        (11, 13, "inside_token"),
        (15, 16, "inside_token"),
    ],
)
def test_why_a_mention_has_no_units_is_told(start, end, why):
    text = "PainDenies 한국어 ⅷⅷ"
    (tokens,) = TOKENIZERS["letters"].encode([text])
    units = find_units(text, tokens)
    assert units.why_not(Span(start, end, "A")) == why


def test_on_an_english_corpus_units_of_tokens_only_add_to_what_can_be_represented(offline_encoder):
    path = corpus("leaf")
    notes = list(ctl.read_notes(path, format="brat"))[:60]
    tokenizer = NoteTokenizer.from_pretrained(find_encoder(offline_encoder).path)
    task = ctl.EntityRecognition.from_notes(notes)
    assert task.units == "words"
    lost = dict.fromkeys(("words", "tokens"), 0)
    for note, tokens in zip(notes, tokenizer.encode([n.text for n in notes]), strict=True):
        words = find_units(note.text, tokens)
        fine = find_units(note.text, tokens, "tokens")
        assert np.isin(words.starts, fine.starts).all()
        for size, units in (("words", words), ("tokens", fine)):
            lost[size] += sum(units.why_not(span) is not None for span in note.spans)
    assert lost["tokens"] <= lost["words"] < 5
