"""Embedding notes: pooling against plain transformers, the cache, interruptions, misuse."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.notes import Notes
from clinical_tl.errors import ArtifactError, ConfigError, EncoderError, NoteError
from clinical_tl.network import embeddings, frozen_encoder
from clinical_tl.network.embeddings import embed, embed_units
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.network.vector_store import VectorStore, text_digest
from clinical_tl.schema import Note
from tests.tiny_encoders import write_encoder

TEXTS = ["Knee pain.", "A cough for two weeks, no fever, no rash; chest clear.", "BP 120/80 " * 60]


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder)


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_short_texts_are_pooled_as_plain_transformers_would(tiny_encoder, encoder, pooling, layer):
    from transformers import AutoModel, AutoTokenizer

    found = embed(encoder, TEXTS[:2], pooling=pooling, layer=layer, progress=False).matrix
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    for text, vector in zip(TEXTS[:2], found, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0]
        inner = states[1:-1]
        expected = {"mean": inner.mean(0), "max": inner.amax(0), "cls": states[0]}[pooling]
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


def test_every_token_of_a_long_note_counts_once(encoder):
    pieces = []
    tokens = encoder.tokenizer.encode([TEXTS[2]])
    for note, states in encoder.token_states(tokens):
        assert note == 0
        assert len(states) == len(tokens[0]) > 128
        pieces.append(states.mean(axis=0))
    found = embed(encoder, [TEXTS[2]], progress=False).matrix
    np.testing.assert_allclose(found[0], pieces[0], atol=1e-5)


def test_neighbours_in_a_batch_change_nothing(encoder):
    together = embed(encoder, TEXTS, progress=False).matrix
    alone = np.concatenate([embed(encoder, [text], progress=False).matrix for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_second_call_reads_and_maps(encoder, tmp_path, monkeypatch):
    first = embed(encoder, TEXTS, cache=tmp_path, progress=False)
    assert first.computed == 3

    def forbidden(*_, **__):
        raise AssertionError("the encoder was asked again")

    monkeypatch.setattr(FrozenEncoder, "vectors", forbidden)
    second = embed(encoder, TEXTS, cache=tmp_path, progress=False)
    assert second.computed == 0
    assert isinstance(second.matrix, np.memmap)
    np.testing.assert_array_equal(second.matrix, first.matrix)
    other_order = embed(encoder, TEXTS[::-1], cache=tmp_path, progress=False)
    np.testing.assert_array_equal(other_order.matrix, first.matrix[::-1])


def test_large_matrices_in_another_order_are_mapped_too(encoder, tmp_path, monkeypatch):
    first = embed(encoder, TEXTS, progress=False).matrix
    monkeypatch.setattr(embeddings, "IN_MEMORY", 0)
    twice = embed(encoder, [*TEXTS[::-1], *TEXTS], cache=tmp_path, progress=False)
    assert isinstance(twice.matrix, np.memmap)
    np.testing.assert_allclose(twice.matrix, [*first[::-1], *first], atol=1e-6)
    # Nothing but the cache itself is left behind.
    files = sorted(file.name for file in tmp_path.rglob("*") if file.is_file())
    embed(encoder, TEXTS[::-1], cache=tmp_path, progress=False)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == files


def test_a_series_of_texts_is_read_in_its_order(encoder):
    series = pd.Series(TEXTS)[::-1]
    np.testing.assert_array_equal(
        embed(encoder, series, progress=False).matrix,
        embed(encoder, TEXTS[::-1], progress=False).matrix,
    )


def test_settings_do_not_share_vectors(encoder, tmp_path):
    mean = embed(encoder, TEXTS, cache=tmp_path, progress=False)
    cls = embed(encoder, TEXTS, cache=tmp_path, pooling="cls", progress=False)
    assert cls.computed == 3
    assert not np.allclose(mean.matrix, cls.matrix)
    windowing = replace(encoder.windowing, length=32, overlap=8)
    shorter = embed(replace(encoder, windowing=windowing), TEXTS, cache=tmp_path, progress=False)
    assert shorter.computed == 3


def test_another_config_or_changed_weights_share_no_vectors(tiny_encoder, tmp_path):
    texts = ["fever and cough", "no fever"]
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    embed(folder, texts, cache=tmp_path / "c", progress=False)
    config = json.loads((folder / "config.json").read_text())
    config["hidden_act"] = "relu" if config["hidden_act"] != "relu" else "gelu"
    (folder / "config.json").write_text(json.dumps(config))
    other = embed(folder, texts, cache=tmp_path / "c", progress=False)
    assert other.computed == 2
    changed = FrozenEncoder.from_pretrained(folder)
    with torch.no_grad():
        next(changed.model.parameters()).mul_(1.5)
    again = embed(changed, texts, cache=tmp_path / "c", progress=False)
    assert again.computed == 2
    np.testing.assert_array_equal(again.matrix, embed(changed, texts, progress=False).matrix)


def test_copies_are_read_once_and_have_the_same_bits(encoder, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 3)
    texts = ["fever", "cough and fever", "fever", "a much longer note about a cough", "fever"]
    found = embed(encoder, texts, progress=False)
    assert found.computed == 3
    assert (found.matrix[[2, 4]] == found.matrix[0]).all()
    np.testing.assert_allclose(found.matrix, encoder.vectors(texts), rtol=1e-4, atol=1e-5)


def test_a_note_longer_than_the_budget_is_read_in_parts(encoder, monkeypatch):
    text = "fever and cough with rash " * 60
    whole = encoder.vectors([text, "short"])
    read = []
    forward = encoder.model.forward

    def spy(*, input_ids, **others):
        read.append(input_ids.numel())
        return forward(input_ids=input_ids, **others)

    monkeypatch.setattr(frozen_encoder, "batch_tokens_for", lambda _: 130)
    monkeypatch.setattr(encoder.model, "forward", spy)
    np.testing.assert_allclose(encoder.vectors([text, "short"]), whole, rtol=1e-4, atol=1e-5)
    assert max(read) <= 130
    assert len(read) > 3


@pytest.mark.parametrize("notes", [[None], [3.5], [{"text": None}], [{"note": "x"}]])
def test_what_is_no_text_is_refused(encoder, notes):
    with pytest.raises(NoteError, match=r"position 0: a .* where a note's text should be"):
        embed(encoder, notes, progress=False)


def test_an_interrupted_run_goes_on(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 1)
    asked = []
    plain = FrozenEncoder.vectors

    def dies_at_the_third(self, texts, **settings):
        asked.extend(texts)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return plain(self, texts, **settings)

    monkeypatch.setattr(FrozenEncoder, "vectors", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(encoder, TEXTS, cache=tmp_path, progress=False)
    again = embed(encoder, TEXTS, cache=tmp_path, progress=False)
    assert again.computed == 1
    assert asked == [*TEXTS, TEXTS[2]]


def test_half_written_rows_are_written_again(tmp_path):
    store = VectorStore(tmp_path, dimension=4, settings={})
    store.append([text_digest("a")], np.ones((1, 4)))
    with (tmp_path / "vectors.npy").open("ab") as stream:
        stream.write(b"half a row")
    with (tmp_path / "keys.sha256").open("ab") as stream:
        stream.write(b"half a key")
    again = VectorStore(tmp_path, dimension=4, settings={})
    assert len(again) == 1
    again.append([text_digest("b")], np.full((1, 4), 2.0))
    whole = VectorStore(tmp_path, dimension=4, settings={})
    np.testing.assert_array_equal(whole.matrix()[whole.rows([text_digest("b")])], [[2, 2, 2, 2]])
    with pytest.raises(ArtifactError, match="other settings"):
        VectorStore(tmp_path, dimension=4, settings={"layer": 2})


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), dimension=st.integers(1, 600))
def test_the_vectors_are_a_plain_numpy_file(tmp_path_factory, sizes, dimension):
    folder = tmp_path_factory.mktemp("store")
    store = VectorStore(folder, dimension=dimension, settings={})
    rows = np.arange(sum(sizes) * dimension, dtype=np.float32).reshape(-1, dimension)
    done = 0
    for size in sizes:
        some = range(done, done + size)
        store.append([text_digest(str(i)) for i in some], rows[done : done + size])
        done += size
    plain = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(plain, rows)
    np.testing.assert_array_equal(store.matrix(), rows)


def test_no_text_is_kept(encoder, tmp_path):
    embed(encoder, TEXTS, cache=tmp_path, progress=False)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"Knee" not in kept
    assert b"cough" not in kept


def test_datasets_notes_and_texts_are_the_same(encoder):
    notes = [Note(str(i), text) for i, text in enumerate(TEXTS)]
    texts = embed(encoder, TEXTS, progress=False).matrix
    np.testing.assert_array_equal(embed(encoder, notes, progress=False).matrix, texts)
    dataset = Notes(notes)
    np.testing.assert_array_equal(embed(encoder, dataset, progress=False).matrix, texts)


def test_units_have_the_state_of_their_first_token_of_a_layer(encoder):
    units = embed_units(encoder, TEXTS, layer=-1, progress=False)
    assert [TEXTS[0][s:e] for s, e in zip(units.starts[:3], units.ends[:3], strict=True)] == [
        "Knee",
        "pain",
        ".",
    ]
    assert (np.diff(units.note) >= 0).all()
    last = dict(encoder.token_states(encoder.tokenizer.encode(TEXTS)))
    np.testing.assert_array_equal(units.matrix[0], last[0][0])


def test_units_have_two_layers_of_all_their_tokens_and_of_their_neighbours(encoder):
    units = embed_units(encoder, TEXTS, progress=False)
    assert encoder.model.config.num_hidden_layers == 2
    tokens = encoder.tokenizer.encode(TEXTS)
    lowest = dict(encoder.token_states(tokens, layer=0))
    middle = dict(encoder.token_states(tokens, layer=1))
    d, several = 2 * encoder.dimension, 0
    for note in range(len(TEXTS)):
        own = units.note == note
        means = []
        for start, end in zip(units.starts[own], units.ends[own], strict=True):
            inside = (tokens[note].starts >= start) & (tokens[note].ends <= end)
            several += inside.sum() > 1
            means.append(np.concatenate([s[note][inside].mean(axis=0) for s in (lowest, middle)]))
        beside = [np.zeros(d), *means, np.zeros(d)]
        rows = units.matrix[own]
        np.testing.assert_allclose(rows[:, :d], means, atol=1e-5)
        np.testing.assert_allclose(rows[:, d : 2 * d], beside[:-2], atol=1e-5)
        np.testing.assert_allclose(rows[:, 2 * d :], beside[2:], atol=1e-5)
    assert several


def test_line_breaks_are_no_part_of_the_word_before(tmp_path):
    # A tokenizer of bytes has tokens for them.
    encoder = FrozenEncoder.from_pretrained(write_encoder(tmp_path, "roberta"))
    text = "Aspirin\n\n\n\nx"
    tokens = encoder.tokenizer.encode([text])
    blank = tokens[0].ends == tokens[0].starts
    assert blank.any()
    lowest = dict(encoder.token_states(tokens, layer=0))[0]
    units = embed_units(encoder, [text], progress=False)
    assert len(units) == 2
    own = ~blank & (tokens[0].starts < len("Aspirin"))
    found = units.matrix[0, : encoder.dimension]
    np.testing.assert_allclose(found, lowest[own].mean(axis=0), atol=1e-6)


def test_units_beyond_the_memory_meant_for_them_are_mapped(encoder, monkeypatch):
    held = embed_units(encoder, TEXTS, progress=False)
    monkeypatch.setattr(embeddings, "UNITS_IN_MEMORY", 1000)
    mapped = embed_units(encoder, TEXTS, progress=False)
    assert isinstance(mapped.matrix, np.memmap)
    assert not isinstance(held.matrix, np.memmap)
    np.testing.assert_array_equal(mapped.matrix, held.matrix)


def test_some_units_have_the_vectors_that_all_of_them_have(encoder):
    units = embed_units(encoder, TEXTS, progress=False)
    rows = np.arange(3, len(units), 4)
    some = embed_units(encoder, TEXTS, rows=rows, progress=False)
    assert len(set(some.note.tolist())) > 1
    for name in ("matrix", "note", "starts", "ends"):
        np.testing.assert_array_equal(getattr(some, name), getattr(units, name)[rows])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: embed(e, []), NoteError, "no notes to embed"),
        (lambda e: embed(e, "one text", progress=False), NoteError, "sequence of texts"),
        (lambda e: embed(e, Note("1", "a"), progress=False), NoteError, "a Note was given"),
        (lambda e: embed(e.model, ["a"], progress=False), EncoderError, "is of type BertModel"),
        (lambda e: embed(e, ["a"], layer=3, progress=False), ConfigError, "layers 0"),
        (lambda e: embed(e, ["a"], pooling="sum", progress=False), ConfigError, "choose one of"),
        (lambda e: embed_units(e, [" "], progress=False), NoteError, "visible"),
    ],
)
def test_misuse_is_refused(encoder, call, error, message):
    with pytest.raises(error, match=message):
        call(encoder)


def test_no_texts_have_no_vectors_and_blank_ones_zeros(encoder):
    for texts in ([], [""], ["\u200b", " "]):
        vectors = encoder.vectors(texts)
        assert vectors.shape == (len(texts), encoder.dimension)
        assert vectors.dtype == np.float32
        assert not vectors.any()
