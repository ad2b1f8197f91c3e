"""Tiny random encoders of every architecture, with tokenizers trained on synthetic notes."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PreTrainedTokenizerFast

from clinical_tl.data.synthetic import iter_notes

VOCABULARY = 400
POSITIONS = 128
_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
CONFIGS: dict[str, dict[str, object]] = {
    "bert": {**_COMMON, "max_position_embeddings": POSITIONS},
    # Positions of the RoBERTa family start at padding_idx + 1.
    "roberta": {**_COMMON, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1},
    "electra": {**_COMMON, "embedding_size": 16, "max_position_embeddings": POSITIONS},
    "deberta-v2": {
        **_COMMON,
        "max_position_embeddings": POSITIONS,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
    },
    "distilbert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": POSITIONS,
    },
    "modernbert": {
        **_COMMON,
        "max_position_embeddings": POSITIONS,
        "local_attention": 16,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "cls_token_id": 0,
        "eos_token_id": 2,
        "sep_token_id": 2,
    },
    "albert": {**_COMMON, "embedding_size": 16, "max_position_embeddings": POSITIONS},
    "mpnet": {**_COMMON, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1},
    "eurobert": {
        **_COMMON,
        "num_key_value_heads": 4,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 1,
        "mask_token_id": 4,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "longformer": {
        **_COMMON,
        "max_position_embeddings": POSITIONS + 2,
        "attention_window": 8,
        "pad_token_id": 1,
    },
}
# The lowest version of transformers that is allowed has no EuroBERT.
CONFIGS = {name: config for name, config in CONFIGS.items() if name in CONFIG_MAPPING}
# Architectures for which transformers has no token head, and in one case no head at all.
HEADLESS: dict[str, dict[str, object]] = {
    "bert-generation": {**_COMMON, "max_position_embeddings": POSITIONS},
    "olmo2": {**_COMMON, "num_key_value_heads": 4, "max_position_embeddings": POSITIONS},
}
_KINDS = {
    "bert-generation": "wordpiece",
    "olmo2": "byte_bpe",
    "bert": "wordpiece",
    "electra": "wordpiece",
    "distilbert": "wordpiece",
    "roberta": "byte_bpe",
    "modernbert": "byte_bpe",
    "longformer": "byte_bpe",
    "mpnet": "byte_bpe",
    "eurobert": "byte_bpe",
    "albert": "unigram",
    "deberta-v2": "unigram",
}


def build_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer of a kind, trained on a few synthetic notes."""
    texts = [note.text for note in iter_notes(30, seed=5, length="short")]
    if kind == "wordpiece":
        names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
        tokenizer = Tokenizer(models.WordPiece(unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        order = ["pad", "unk", "cls", "sep", "mask"]
        trainer = trainers.WordPieceTrainer(
            vocab_size=VOCABULARY, special_tokens=[names[k] for k in order]
        )
    elif kind == "byte_bpe":
        names = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        order = ["cls", "pad", "sep", "unk", "mask"]
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[names[k] for k in order],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    else:
        names = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        order = ["pad", "cls", "sep", "unk", "mask"]
        trainer = trainers.UnigramTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[names[k] for k in order],
            unk_token=names["unk"],
            show_progress=False,
        )
    trainer.show_progress = False
    tokenizer.train_from_iterator(texts, trainer)
    if kind == "wordpiece":
        # The trainer numbers its pieces anew in every process, and a random encoder with them.
        special = [names[k] for k in order]
        pieces = [*special, *sorted(tokenizer.get_vocab().keys() - set(special))]
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        tokenizer.model = models.WordPiece(vocabulary, unk_token=names["unk"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['cls']} $A {names['sep']}",
        special_tokens=[(names[k], tokenizer.token_to_id(names[k])) for k in ("cls", "sep")],
    )
    # As some published tokenizers do: truncation and padding that must not stay.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{k}_token": name for k, name in names.items()}
    )


def write_encoder(folder: Path, architecture: str, *, seed: int = 0, **settings: int) -> Path:
    """A folder with a random encoder of the architecture and its tokenizer."""
    tokenizer = build_tokenizer(_KINDS[architecture])
    chosen = {**(CONFIGS | HEADLESS)[architecture], **settings}
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **chosen)
    config.pad_token_id = tokenizer.pad_token_id
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
