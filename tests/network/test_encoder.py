import hashlib

import numpy as np
import pytest

from clinical_tl.errors import EncoderError
from clinical_tl.network import encoder as encoders
from clinical_tl.network.encoder import OFFLINE_SHA256, find_encoder
from clinical_tl.network.frozen_encoder import FrozenEncoder
from tests.tiny_encoders import write_encoder


def test_a_folder_is_hashed(tiny_encoder):
    source = find_encoder(tiny_encoder)
    digest = hashlib.sha256((tiny_encoder / "model.safetensors").read_bytes()).hexdigest()
    assert source.sha256 == digest
    assert "path" not in source.to_dict()


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"holds no weights: expected one of .*safetensors"):
        find_encoder(tmp_path)


def test_an_unknown_name_says_what_is_allowed():
    with pytest.raises(EncoderError, match="if a Hub id, 'hub:nobody/nothing-at-all' downloads it"):
        find_encoder("nobody/nothing-at-all")


def test_the_offline_encoder_is_verified(offline_encoder, monkeypatch):
    assert find_encoder(offline_encoder).sha256 == OFFLINE_SHA256
    monkeypatch.setattr(encoders, "OFFLINE_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match="damaged or was changed"):
        find_encoder(offline_encoder)


def test_the_missing_extra_names_the_command(monkeypatch):
    monkeypatch.setattr(encoders, "OFFLINE_PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r"pip install 'clinical-tl\[offline\]'"):
        find_encoder("offline")


@pytest.mark.parametrize("architecture", ["bert", "mpnet", "electra", "roberta"])
@pytest.mark.parametrize("positions", [100, 126])
def test_a_window_of_all_positions_is_read_whatever_their_number(tmp_path, architecture, positions):
    """Widths are rounded up to multiples of eight, but never beyond what the encoder reaches."""
    offset = 2 if architecture in ("mpnet", "roberta") else 0
    folder = write_encoder(tmp_path / "e", architecture, max_position_embeddings=positions + offset)
    encoder = FrozenEncoder.from_pretrained(folder)
    assert encoder.windowing.length == positions
    assert np.isfinite(encoder.vectors(["fever and cough " * 200, "no"])).all()
