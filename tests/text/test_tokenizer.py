import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from clinical_tl.errors import EncoderError, NoteError
from clinical_tl.text.tokenizer import NoteTokenizer
from tests.tiny_encoders import build_tokenizer, write_encoder

TOKENIZERS = {
    kind: NoteTokenizer(build_tokenizer(kind)) for kind in ("wordpiece", "byte_bpe", "unigram")
}
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)) | st.sampled_from(" \n\té🫀ﬁ—"),
    max_size=60,
)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_offsets_lie_in_the_text_and_bear_no_white_space(kind, text):
    (tokens,) = TOKENIZERS[kind].encode([text])
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        assert 0 <= start <= end <= len(text)
        mention = text[start:end]
        assert mention == mention.strip()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_nothing_is_truncated_or_padded_although_the_saved_tokenizer_asks_for_it(kind):
    tokenizer = TOKENIZERS[kind]
    short, long = tokenizer.encode(["fever", "fever and cough " * 200])
    assert len(short) < 16
    assert len(long) > 400
    assert long.ends[-1] == len("fever and cough " * 200) - 1


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_windows_get_the_special_tokens_that_the_tokenizer_itself_adds(kind):
    tokenizer = TOKENIZERS[kind]
    text = "Admitted with chest pain."
    whole = tokenizer.tokenizer.backend_tokenizer.encode(text).ids
    (tokens,) = tokenizer.encode([text])
    assert [*tokenizer.prefix_ids, *tokens.ids, *tokenizer.suffix_ids] == whole


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_special_tokens_written_in_a_note_are_its_text(kind):
    tokenizer = TOKENIZERS[kind]
    text = " cough ".join(tokenizer.tokenizer.all_special_tokens)
    (tokens,) = tokenizer.encode([text])
    special = {*tokenizer.prefix_ids, *tokenizer.suffix_ids, tokenizer.tokenizer.mask_token_id}
    assert not special & set(tokens.ids)
    assert copy.deepcopy(tokenizer).encode([text])[0].ids.tolist() == tokens.ids.tolist()


def test_saved_tokenizer_stays_free_of_truncation(tmp_path):
    TOKENIZERS["wordpiece"].save_pretrained(tmp_path)
    again = NoteTokenizer.from_pretrained(tmp_path)
    assert len(again.encode(["cough " * 100])[0]) >= 100
    assert '"truncation": null' in (tmp_path / "tokenizer.json").read_text()


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        NoteTokenizer.from_pretrained(tmp_path / "nothing")


def test_weights_without_a_vocabulary_are_refused(tmp_path):
    folder = write_encoder(tmp_path / "encoder", "bert", seed=0)
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(EncoderError, match=r"without a vocabulary.*save_pretrained"):
        NoteTokenizer.from_pretrained(folder)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(EncoderError, match="not a fast one"):
        NoteTokenizer(Slow())


def test_half_a_character_is_named_by_its_place_alone():
    tokenizer = NoteTokenizer(build_tokenizer("wordpiece"))
    with pytest.raises(NoteError, match=r"text 1 has half a character .* at character 6") as caught:
        tokenizer.encode(["fine", "Zebra \ud800"])
    assert "Zebra" not in str(caught.value)


def test_special_tokens_are_known_whatever_letters_the_vocabulary_has():
    """A probe that has no token of its own would take all of them for a suffix."""
    tokenizer = Tokenizer(models.BPE({"[CLS]": 0, "[SEP]": 1, "[PAD]": 2, "q": 3}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    found = NoteTokenizer(fast)
    assert (found.prefix_ids, found.suffix_ids) == ((0,), (1,))


def test_texts_are_encoded_a_few_at_a_time(monkeypatch):
    tokenizer = TOKENIZERS["wordpiece"]
    texts = [f"fever and cough {i}" for i in range(8)]
    whole = tokenizer.encode(texts)
    monkeypatch.setattr("clinical_tl.text.tokenizer.ENCODED_AT_ONCE", 3)
    for one, other in zip(whole, tokenizer.encode(texts), strict=True):
        assert one.ids.dtype == one.starts.dtype == "int32"
        assert (one.ids == other.ids).all()
        assert (one.ends == other.ends).all()
