"""The peer of the entity recipes: plain `transformers.Trainer` on sentences.

Written the way the library's token-classification example is: words with one tag each, the
first piece of a word labelled, dynamic padding, the Trainer's defaults. It shares nothing
with clinical_tl but the encoder's files and the sentences.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_tl.metrics.entities import strict_seqeval
from clinical_tl.network.encoder import find_encoder
from clinical_tl.schema import Note
from clinical_tl.text.tags import TagSet
from clinical_tl.text.units import text_units

Sentence = tuple[list[str], list[str]]
IGNORED = -100


def read_sentences(file: str | Path) -> list[Sentence]:
    """Words and tags of a two-column CoNLL file, sentence by sentence."""
    sentences: list[Sentence] = []
    for block in Path(file).read_text(encoding="utf-8").split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines() if line.strip()]
        if rows:
            sentences.append(([row[0] for row in rows], [row[-1] for row in rows]))
    return sentences


def split_sentences(notes: Sequence[Note], tag_set: TagSet) -> list[Sentence]:
    """Notes as sentences (spaCy's rule-based splitter) of words and BIO tags."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    sentences: list[Sentence] = []
    for note in notes:
        ends = [sentence.end_char for sentence in nlp(note.text).sents]
        units = text_units(note.text)
        tags, _ = tag_set.encode(units, note.spans or ())
        words: list[str] = []
        names: list[str] = []
        for start, end, tag in zip(units.starts, units.ends, tags, strict=True):
            name = tag_set.names[tag]
            # A sentence never ends inside a mention, whatever the splitter says.
            while ends and start >= ends[0]:
                ends.pop(0)
                if words and not name.startswith("I-"):
                    sentences.append((words, names))
                    words, names = [], []
            words.append(note.text[start:end])
            names.append(name)
        if words:
            sentences.append((words, names))
    return sentences


def train_peer(
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    *,
    encoder: str,
    epochs: float,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Fine-tune all weights and score the test sentences; scores, seconds and parameters.

    On whole sentences strict seqeval F1 is the exact-span F1.
    """
    import numpy as np
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainingArguments,
    )

    path = find_encoder(encoder).path
    tokenizer = AutoTokenizer.from_pretrained(path)
    names = ["O", *sorted({tag for _, tags in train for tag in tags} - {"O"})]
    number = {name: i for i, name in enumerate(names)}

    def features(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
        rows = []
        for words, tags in sentences:
            encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
            labels, previous = [], None
            for word in encoded.word_ids():
                fresh = word is not None and word != previous
                labels.append(number[tags[word]] if fresh else IGNORED)
                previous = word
            rows.append(
                {
                    "input_ids": encoded["input_ids"],
                    "attention_mask": encoded["attention_mask"],
                    "labels": labels,
                }
            )
        return rows

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        seed=seed,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
    )
    trainer = Trainer(
        model=AutoModelForTokenClassification.from_pretrained(path, num_labels=len(names)),
        args=arguments,
        train_dataset=features(train),
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    rows = features(test)
    output = trainer.predict(rows)
    predicted = []
    for (words, _), row, logits in zip(test, rows, output.predictions, strict=True):
        first = [i for i, label in enumerate(row["labels"]) if label != IGNORED]
        tags = [names[i] for i in np.argmax(logits[first], axis=-1)]
        # Words past the 512th token are never seen; they count as outside.
        predicted.append(_as_iob2(tags + ["O"] * (len(words) - len(tags))))
    scores = strict_seqeval([tags for _, tags in test], predicted).summary()
    parameters = sum(p.numel() for p in trainer.model.parameters())
    return {
        "f1": scores["seqeval_f1"],
        **scores,
        "seconds": seconds,
        "trainable_parameters": parameters,
    }


def _as_iob2(tags: Sequence[str]) -> list[str]:
    """I after O or another type starts a mention, as seqeval's default reading has it."""
    repaired: list[str] = []
    for i, tag in enumerate(tags):
        before = tags[i - 1] if i else "O"
        broken = tag.startswith("I-") and before[2:] != tag[2:]
        repaired.append(f"B-{tag[2:]}" if broken else tag)
    return repaired
