"""Training, prediction and linear models against the usual tools, interleaved; prints ratios.

Run with `make bench`. Synthetic notes, the offline encoder, fp32, medians of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import StandardScaler
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.estimators.feature_classifier import STRENGTHS, FeatureClassifier
from clinical_tl.estimators.logistic_regression import fit_logistic
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.bf16_attention import _attention
from clinical_tl.network.encoder import offline_encoder_path
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

ROUNDS = 3


def interleaved(ours: Callable[[], object], peers: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, run in turn."""
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(ROUNDS):
        for number, run in enumerate((ours, peers)):
            started = time.perf_counter()
            run()
            seconds[number].append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def report(what: str, ours: float, peer: float) -> None:
    print(f"\n{what}: ours {ours:.2f} s, peer {peer:.2f} s, ratio {peer / ours:.2f}x")


@pytest.fixture(scope="module")
def notes():
    return generate_notes(120, seed=0, words=(20, 300))


@pytest.mark.benchmark
def test_prediction_against_the_pipeline(offline_encoder, notes, tmp_path):
    from transformers import pipeline

    task = NoteClassification.from_notes(notes)
    model = TransferModel.from_pretrained(offline_encoder, task)
    model.merge(tmp_path / "merged")
    peer = pipeline(
        "text-classification", model=str(tmp_path / "merged"), batch_size=32, truncation=True
    )
    texts = list(notes["text"])
    times = interleaved(
        lambda: model.predict(notes, progress=False), lambda: peer(texts, max_length=512)
    )
    report("prediction of 120 notes, pipeline with batch size 32", *times)


CONFIGS = {
    "untouched defaults": TrainingConfig(epochs=1, progress=False),
    "the peer's dropout": TrainingConfig(
        epochs=1, batch_tokens=2048, attention_dropout=None, progress=False
    ),
}


@pytest.mark.benchmark
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_training_against_the_trainer(offline_encoder, notes, tmp_path, config, request):
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    task = NoteClassification.from_notes(notes)
    path = offline_encoder_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    positions = task.labels.positions
    rows = [
        {
            **tokenizer(text, truncation=True, max_length=512),
            "labels": positions[label],
        }
        for text, label in zip(notes["text"], notes["label"], strict=True)
    ]

    def train_peer() -> None:
        base = AutoModelForSequenceClassification.from_pretrained(path, num_labels=len(positions))
        targets = ["query", "key", "value", "dense"]
        config = LoraConfig(r=16, task_type=TaskType.SEQ_CLS, target_modules=targets)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            num_train_epochs=1,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        trainer = Trainer(
            model=get_peft_model(base, config),
            args=arguments,
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()

    def train_ours() -> None:
        torch.manual_seed(0)
        model = TransferModel.from_pretrained(offline_encoder, task, adapter=LoRA(r=16))
        fit(model, notes, config=config)

    report(
        f"one LoRA epoch over 120 notes, {request.node.callspec.id}, Trainer with batch size 8",
        *interleaved(train_ours, train_peer),
    )


@pytest.mark.benchmark
@pytest.mark.parametrize(("windows", "tokens"), [(16, 32), (8, 64), (2, 290)])
def test_attention_for_training_in_bf16_against_torchs(windows, tokens):
    """12 heads of size 32, as the offline encoder has; forwards and backwards, twenty times."""
    states = [torch.randn(windows, 12, tokens, 32).bfloat16().requires_grad_() for _ in range(3)]
    mask = torch.ones(windows, 1, tokens, tokens, dtype=torch.bool)
    owner = torch.nn.Module()

    def twenty(attention: Callable[..., tuple[torch.Tensor, object]]) -> None:
        for _ in range(20):
            found = attention(owner, *states, mask)[0]
            found.backward(torch.ones_like(found))

    report(
        f"attention, {windows} windows of {tokens} tokens",
        *interleaved(lambda: twenty(_attention), lambda: twenty(sdpa_attention_forward)),
    )


def like_an_encoders(rows: int, width: int, seed: int) -> np.ndarray:
    """Features in which a few directions have most of the variance."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(width, width)) * 0.99 ** np.arange(width)[:, None]
    features: np.ndarray = (random.normal(size=(rows, width)) @ mixing).astype(np.float32)
    return StandardScaler().fit_transform(features)


@pytest.mark.benchmark
@pytest.mark.parametrize(("rows", "width", "classes"), [(1_200, 384, 20), (3_000, 768, 5)])
def test_a_strength_chosen_on_folds_against_scikit_learn(rows, width, classes):
    """Sections in number and width: the same strengths and five folds, then a fit on all rows."""
    features = like_an_encoders(rows, width, 0)
    random = np.random.default_rng(1)
    scores = features @ random.normal(size=(width, classes)) / np.sqrt(width)
    gold = (scores + random.gumbel(size=scores.shape)).argmax(axis=1)

    def peer() -> np.ndarray:
        chosen = LogisticRegressionCV(
            Cs=STRENGTHS,
            cv=5,
            scoring="neg_log_loss",
            max_iter=10_000,
            use_legacy_attributes=False,
            l1_ratios=(0,),
        ).fit(features, gold)
        probabilities: np.ndarray = chosen.predict_proba(features)
        return probabilities

    def ours() -> np.ndarray:
        return FeatureClassifier().fit(features, gold).predict_proba(features)

    assert abs(ours() - peer()).mean() < 0.02
    report(f"strength on folds, {rows} x {width}, {classes} classes", *interleaved(ours, peer))


@pytest.mark.benchmark
def test_many_labels_against_scikit_learn():
    """Codes in number: 500 labels of 200 notes, most of them rare, at one strength."""
    features, strength = like_an_encoders(200, 384, 0), 0.01
    random = np.random.default_rng(1)
    scores = features @ random.normal(size=(384, 500))
    shares = np.clip(0.3 / np.arange(1, 501), 0.015, 1)
    gold = scores > np.quantile(scores, 1 - shares, axis=0).diagonal()

    def peer() -> np.ndarray:
        model = LogisticRegression(C=strength, max_iter=10_000)
        each = MultiOutputClassifier(model).fit(features, gold).predict_proba(features)
        return np.stack([own[:, 1] for own in each], axis=1)

    def ours() -> np.ndarray:
        fitted = fit_logistic(features, gold, n_outputs=500, strength=strength)
        return fitted.probabilities(features, exclusive=False)

    assert abs(ours() - peer()).max() < 0.01
    report("500 labels, 200 x 384", *interleaved(ours, peer))
