"""Masked language modelling: what is hidden, its gold, the head, and the folder that comes out."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError, EncoderError, NoteError
from clinical_tl.models.reader import Reader
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.network.heads import MaskedLMHead
from clinical_tl.network.lora import LoRA
from clinical_tl.network.masked_lm import load_masked_lm, masked_logits
from clinical_tl.network.network import Network
from clinical_tl.network.structure import base_model
from clinical_tl.release.canaries import canary_notes, planted_canaries
from clinical_tl.saved.artifact import ADAPTATION_FILE
from clinical_tl.schema import Note
from clinical_tl.tasks.masked_language import MaskedLanguage
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.text.batches import build_items, collate
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.loop import TrainingRun
from clinical_tl.transfer import domain_adaptation
from clinical_tl.transfer.domain_adaptation import _divide, adapt_encoder
from tests.tiny_encoders import CONFIGS, write_encoder

QUICK = TrainingConfig(epochs=2, batch_tokens=512, progress=False)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return NoteTokenizer.from_pretrained(tiny_encoder)


def corrupted(tokenizer, texts, *, seed=0, share=0.15, length=32, overlap=8):
    notes = [Note(str(i), text) for i, text in enumerate(texts)]
    tokens = tokenizer.encode(texts)
    task = MaskedLanguage.for_tokenizer(tokenizer, share=share)
    windowing = Windowing(length, overlap)
    items = build_items(tokens, windowing, n_special=tokenizer.n_special, whole_notes=False)
    plain = collate(items, tokens, tokenizer, windowing)
    return plain, task.corrupt(plain, task.targets(notes, tokens), seed), task, tokens


@settings(max_examples=30)
@given(
    texts=st.lists(st.text("abc XYZ,.12é\n", min_size=1, max_size=200), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    share=st.floats(0.05, 0.9),
)
def test_what_is_hidden_was_there_and_the_rest_is_untouched(tokenizer, texts, seed, share):
    plain, hidden, task, tokens = corrupted(tokenizer, texts, seed=seed, share=share)
    chosen = hidden.hidden_ids >= 0
    assert torch.equal(hidden.hidden_ids[chosen], plain.input_ids[chosen])
    assert not (chosen & ~plain.owned).any()
    low, high = task.ordinary_ids
    changed = hidden.input_ids != plain.input_ids
    values = hidden.input_ids[changed]
    assert ((values == task.mask_id) | ((values >= low) & (values < high))).all()
    # Special tokens and padding are never touched; a word is whole where windows overlap.
    assert not (changed & (plain.attention_mask == 0)).any()
    words = task.targets([Note(str(i), text) for i, text in enumerate(texts)], tokens)
    for row, window in enumerate(plain.windows):
        note = plain.notes[int(plain.note_index[row])]
        counted = task.hidden(words, note, window.own_start, window.own_stop, seed)
        assert counted == int(chosen[row].sum())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_steps_loss_is_the_mean_over_what_it_hides(
    tiny_encoder, tmp_path, monkeypatch, accumulation
):
    """Of notes of a few words far more is hidden than the share says."""
    monkeypatch.setattr(MaskedLanguage, "losses", lambda *given, **_: 0 * given[1].sum(dim=1) + 1)
    source = find_encoder(tiny_encoder)
    tokenizer = NoteTokenizer.from_pretrained(source.path)
    texts = ["fever", "a rash", "hypertension", "no cough", "\u200b", "pain, nausea, vomiting"] * 4
    run = TrainingRun(
        Reader(
            Network(load_masked_lm(source).model, MaskedLMHead(())),
            MaskedLanguage.for_tokenizer(tokenizer), tokenizer, Windowing(8, 2),
        ),
        TrainingConfig(
            epochs=2, batch_tokens=24, gradient_accumulation=accumulation, patience=None,
            progress=False, output_dir=tmp_path,
        ),
        [Note(str(i), text) for i, text in enumerate(texts)],
        None,
    )  # fmt: skip
    result = run.run()
    rows = [json.loads(line) for line in (tmp_path / "train_log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) > 4
    # In some steps nothing is hidden: short windows of a note whose words lie elsewhere.
    assert all(loss in (0.0, pytest.approx(1.0)) for loss in losses)
    assert [epoch.loss for epoch in result.epochs] == pytest.approx([1.0, 1.0])


def test_whole_words_are_hidden_once_at_the_stated_share(tokenizer):
    text = "hypertension diabetes pneumonia anticoagulation " * 40
    plain, hidden, task, tokens = corrupted(tokenizer, [text], share=0.25)
    words = task.targets([Note("0", text)], tokens)[0]
    guessed = np.zeros(len(words), dtype=int)
    for row, window in enumerate(plain.windows):
        own = hidden.hidden_ids[row][plain.owned[row]].numpy() >= 0
        guessed[window.own_start : window.own_stop] += own
    assert guessed.max() == 1
    by_word = [guessed[words == word] for word in range(words.max() + 1)]
    assert all(len(set(word.tolist())) == 1 for word in by_word)
    assert sum(word[0] for word in by_word) == round(0.25 * len(by_word)) == 40


def test_in_scripts_without_blanks_letters_are_hidden_and_not_sentences(tmp_path):
    encoder = write_encoder(tmp_path / "bytes", "roberta")
    text = "患者有高血压病史否认糖尿病" * 8
    plain, hidden, task, tokens = corrupted(NoteTokenizer.from_pretrained(encoder), [text])
    (words,) = task.targets([Note("0", text)], tokens)
    assert words.max() + 1 == len(text)
    share = (hidden.hidden_ids >= 0).sum() / plain.owned.sum()
    assert float(share) == pytest.approx(0.15, abs=0.05)


def test_of_the_chosen_words_80_10_and_10_percent(tokenizer):
    plain, hidden, task, _ = corrupted(tokenizer, ["a, " * 5000], share=0.9)
    chosen = hidden.hidden_ids >= 0
    found, before = hidden.input_ids[chosen], plain.input_ids[chosen]
    masked = (found == task.mask_id).float().mean().item()
    kept = (found == before).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1, abs=0.02)


def test_windows_of_a_note_hide_the_same_words(tokenizer):
    text = "cough fever rash pain " * 30
    plain, hidden, _, tokens = corrupted(tokenizer, [text], share=0.3)
    seen: dict[int, set[int]] = {}
    for row, window in enumerate(plain.windows):
        ids = hidden.input_ids[row, 1 : 1 + len(window)].tolist()
        for position, token in zip(range(window.start, window.stop), ids, strict=True):
            seen.setdefault(position, set()).add(token)
    assert len(seen) == len(tokens[0])
    assert all(len(tokens_there) == 1 for tokens_there in seen.values())


def test_seeds_differ_and_repeat(tokenizer):
    texts = ["fever and cough and rash and pain and nausea"]
    first, again, other = (corrupted(tokenizer, texts, seed=s)[1].input_ids for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_logits_at_masked_tokens_are_the_whole_models(architecture, tmp_path):
    folder = write_encoder(tmp_path / "e", architecture)
    loaded = load_masked_lm(find_encoder(folder))
    assert not loaded.pretrained_head
    model = loaded.model.eval()
    own = NoteTokenizer.from_pretrained(folder)
    _, hidden, _, _ = corrupted(own, ["fever and cough", "a rash"], share=0.5)
    with torch.no_grad():
        found = masked_logits(model, base_model(model), hidden)
        whole = model(input_ids=hidden.input_ids, attention_mask=hidden.attention_mask).logits
    torch.testing.assert_close(found, whole[hidden.hidden_ids >= 0], atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "with_head")
    own.save_pretrained(tmp_path / "with_head")
    assert load_masked_lm(find_encoder(tmp_path / "with_head")).pretrained_head


@pytest.mark.parametrize("adapter", [LoRA(r=4), "full"], ids=["lora", "full"])
def test_the_adapted_folder_is_an_encoder_for_every_other_stage(
    adapter, tiny_encoder, synthetic_notes, tmp_path, caplog
):
    caplog.set_level(logging.WARNING)
    result = adapt_encoder(
        tiny_encoder, synthetic_notes, tmp_path / "out", adapter=adapter, config=QUICK, window=64
    )
    assert "ships without a masked-language-model head" in caplog.text
    assert result.new_head
    assert result.perplexity_after < result.perplexity_before
    assert result.train_notes + result.held_out_notes == len(synthetic_notes)
    assert not (tmp_path / "out.run").exists()
    report = json.loads((tmp_path / "out" / ADAPTATION_FILE).read_text())
    assert report["perplexity_after"] == result.perplexity_after
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()
    task = NoteClassification.from_notes(synthetic_notes)
    adapted = TransferModel.from_pretrained(tmp_path / "out", task)
    plain = TransferModel.from_pretrained(tiny_encoder, task)
    texts = ["fever and cough"]
    assert not torch.allclose(adapted.embed_texts(texts), plain.embed_texts(texts))
    # Going on from there, the head is no longer new.
    again = adapt_encoder(tmp_path / "out", synthetic_notes, tmp_path / "more", config=QUICK)
    assert (again.new_head, again.perplexity_head_alone) == (False, None)
    assert again.perplexity_before == pytest.approx(result.perplexity_after, rel=0.15)


def test_the_head_alone_is_measured_beside_the_encoders_training(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch
):
    head, whole = {}, {}
    run = domain_adaptation._run

    def spy(network, reading, source, name, **settings):
        head[name] = {n: p.detach().clone() for n, p in network.trainable().items()}
        whole[name] = sum(p.numel() for p in network.model.parameters() if p.requires_grad)
        done = run(network, reading, source, name, **settings)
        head[f"{name}, done"] = {n: p.detach().clone() for n, p in network.trainable().items()}
        return done

    monkeypatch.setattr(domain_adaptation, "_run", spy)
    result = adapt_encoder(
        tiny_encoder, synthetic_notes, tmp_path / "out", adapter="full", config=QUICK, window=64
    )
    # It learns on alone, the encoder being frozen, and the encoder's training knows nothing of it.
    assert result.perplexity_head_alone < result.perplexity_before
    assert whole["head alone"] == whole["head"] < whole["encoder"]
    for name, weight in head["head, done"].items():
        assert torch.equal(weight, head["head alone"][name])
        assert torch.equal(weight, head["encoder"][name])
    assert any(
        not torch.equal(weight, head["head alone"][name])
        for name, weight in head["head alone, done"].items()
    )


def test_an_interrupted_adaptation_goes_on_to_the_same_weights(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch
):
    from safetensors.torch import load_file

    from clinical_tl.training.loop import TrainingRun

    adapt_encoder(tiny_encoder, synthetic_notes, tmp_path / "whole", config=QUICK)
    plain = TrainingRun._step
    steps = []

    def dies(self, batch, bar):
        steps.append(0)
        if len(steps) == dies.at:
            raise KeyboardInterrupt
        return plain(self, batch, bar)

    monkeypatch.setattr(TrainingRun, "_step", dies)
    for dies.at in (9, 30):
        with pytest.raises(KeyboardInterrupt):
            adapt_encoder(tiny_encoder, synthetic_notes, tmp_path / "parts", config=QUICK)
    dies.at = 0
    adapt_encoder(tiny_encoder, synthetic_notes, tmp_path / "parts", config=QUICK)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_finished_adaptation_is_not_run_again(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch, caplog
):
    def again(config=QUICK, **settings):
        return adapt_encoder(
            tiny_encoder, synthetic_notes, tmp_path / "out", config=config, **settings
        )

    with monkeypatch.context() as killed:
        # Killed between the rename and the removal of the checkpoints.
        killed.setattr(domain_adaptation, "discard", lambda _: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            again()
    assert (tmp_path / "out.run").exists()
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(domain_adaptation, "_train", lambda *_: pytest.fail("trained"))
    caplog.set_level(logging.INFO)
    result = again(replace(QUICK, checkpoint_steps=3, progress=False))
    report = json.loads((tmp_path / "out" / ADAPTATION_FILE).read_text())
    assert result.folder == str(tmp_path / "out")
    assert result.perplexity_after == report["perplexity_after"]
    assert "out is finished: nothing is trained" in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == written
    with pytest.raises(ConfigError, match="adapted with other share, training; choose another"):
        again(replace(QUICK, warmup=0.5), share=0.3)
    with pytest.raises(ConfigError, match="resume=False"):
        again(replace(QUICK, resume=False))


def test_held_out_texts_and_patients_are_nobody_elses(synthetic_notes):
    notes = as_notes(synthetic_notes)
    # Half of the copies are of other patients: a text ties them to the first one's.
    doubled = notes + [
        Note(f"copy {n.note_id}", n.text, patient_id=n.patient_id if i % 2 else f"other {i}")
        for i, n in enumerate(notes)
    ]
    train, held_out = _divide(doubled, None, 0)
    assert held_out
    assert {n.text for n in train}.isdisjoint(n.text for n in held_out)
    assert {n.patient_id for n in train}.isdisjoint(n.patient_id for n in held_out)
    texts = ["fever", "cough", "rash"]
    forms = [Note(str(i), texts[i % 3], patient_id=f"p{i}") for i in range(40)]
    train, held_out = _divide(forms, None, 0)
    assert {n.text for n in train}.isdisjoint(n.text for n in held_out)


def test_canaries_are_never_held_out(synthetic_notes):
    planted = canary_notes(8)
    for seed in range(20):
        train, held_out = _divide([*as_notes(synthetic_notes), *planted], None, seed)
        assert len(planted_canaries(train)) == 8
        assert held_out


def test_blank_notes_are_never_held_out():
    blank = [Note(f"b{i}", "\u200b" * (i % 2) + " " * i) for i in range(60)]
    for seed in range(10):
        train, held_out = _divide([*blank, Note("1", "fever"), Note("2", "cough")], None, seed)
        assert [note.text for note in held_out] in (["fever"], ["cough"])
        assert any(note.text.strip() for note in train)


def test_held_out_notes_must_be_able_to_tell_something(tiny_encoder, tmp_path):
    texts = ["fever and cough", "no fever"]
    with pytest.raises(NoteError, match="none of the 0 held-out notes has a text"):
        adapt_encoder(tiny_encoder, texts, tmp_path / "o", held_out=[])
    with pytest.raises(NoteError, match="none of the 1 held-out notes has a text"):
        adapt_encoder(tiny_encoder, texts, tmp_path / "o", held_out=["\ufeff "])
    with pytest.raises(NoteError, match="1 of the 2 held-out notes have a text of the notes"):
        adapt_encoder(tiny_encoder, texts, tmp_path / "o", held_out=["No  fever", "rash"])
    ours, theirs = Note("1", "No cough", "p1"), Note("2", "A rash", "p1")
    with pytest.raises(NoteError, match=r"0 of the 1 held-out .* and 1 are of their patients"):
        adapt_encoder(tiny_encoder, [ours], tmp_path / "o", held_out=[theirs])


def test_another_encoder_does_not_go_on_from_a_killed_adaptation(
    tiny_encoder, synthetic_notes, tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    other = write_encoder(tmp_path / "other", "bert", seed=9)
    settings = {"adapter": "full", "config": QUICK}
    with monkeypatch.context() as patched:
        patched.setattr(domain_adaptation, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            adapt_encoder(tiny_encoder, synthetic_notes, tmp_path / "out", **settings)
    with pytest.raises(ConfigError, match="made with other encoder"):
        adapt_encoder(other, synthetic_notes, tmp_path / "out", **settings)


def test_misuse_is_refused(tiny_encoder, tmp_path):
    with pytest.raises(NoteError, match="no unlabelled notes"):
        adapt_encoder(tiny_encoder, [], tmp_path / "o")
    with pytest.raises(NoteError, match="at least two"):
        adapt_encoder(tiny_encoder, ["one text", "one text"], tmp_path / "o")
    with pytest.raises(NoteError, match="1 of the 2 patients or texts have any text"):
        adapt_encoder(tiny_encoder, ["fever cough", " "], tmp_path / "o")
    with pytest.raises(ConfigError, match="epochs=0"):
        adapt_encoder(tiny_encoder, ["fever", "cough"], tmp_path / "o", head_epochs=0)
    with pytest.raises(ConfigError, match="adapter 'frozen': give LoRA"):
        adapt_encoder(tiny_encoder, ["a", "b"], tmp_path / "o", adapter="frozen")
    with pytest.raises(ConfigError, match="'mlm'"):
        adapt_encoder(tiny_encoder, ["a", "b"], tmp_path / "o", method="clm")
    with pytest.raises(ConfigError, match=r"choose in \(0, 1\)"):
        adapt_encoder(tiny_encoder, ["a", "b"], tmp_path / "o", share=1.0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        adapt_encoder(tiny_encoder, ["a", "b"], tmp_path / "full")
    tokenizer = NoteTokenizer.from_pretrained(tiny_encoder)
    tokenizer.tokenizer.mask_token = None
    with pytest.raises(EncoderError, match="no mask token"):
        MaskedLanguage.for_tokenizer(tokenizer)


def test_an_encoder_is_adapted_where_models_compute(tiny_encoder, tmp_path, monkeypatch):
    def asked():
        raise LookupError("where?")

    monkeypatch.setattr("clinical_tl.network.device.choose_device", asked)
    with pytest.raises(LookupError):
        adapt_encoder(tiny_encoder, ["fever and cough", "no pain"], tmp_path / "out")
