"""The encoder's licence: known, followed through adapted encoders, or for a person to find."""

import pytest

from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.licence import check_licence
from clinical_tl.saved.encoder_licence import encoder_licence
from tests.release.folders import HUB_ENCODER, write_json, write_model


@pytest.mark.parametrize(
    ("encoder", "public", "status"),
    [
        (HUB_ENCODER, True, "pass"),
        ("offline", True, "pass"),
        ("somebody/encoder", True, "block"),
        ("somebody/encoder", False, "warn"),
    ],
)
def test_an_unknown_licence_blocks_public_repositories(tmp_path, encoder, public, status):
    folder = ReleaseFolder.read(write_model(tmp_path / "model", encoder=encoder))
    assert check_licence(folder, public=public).status == status


def test_an_adapted_encoder_has_the_licence_of_its_origin(tmp_path):
    for name, origin in {"first": HUB_ENCODER, "second": str(tmp_path / "first")}.items():
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "adaptation.json", {"encoder": origin})
    assert encoder_licence(str(tmp_path / "second")) == "apache-2.0"
    write_json(tmp_path / "first" / "adaptation.json", {"encoder": str(tmp_path / "second")})
    assert encoder_licence(str(tmp_path / "second")) is None
    write_json(tmp_path / "first" / "adaptation.json", [])
    assert encoder_licence(str(tmp_path / "first")) is None
