"""Several processes: the first writes, all go on, and none waits for one that has failed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.network.frozen_encoder import FrozenEncoder

ROOT = Path(__file__).parent.parent.parent


def test_two_processes_adapt_save_and_train_themselves_alike(tiny_encoder, tmp_path):
    launch = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
        *("--standalone", "-m", "tests.transfer.run_processes"),
    ]
    subprocess.run(
        [*launch, str(tiny_encoder), str(tmp_path)],
        cwd=ROOT,
        check=True,
        timeout=3000,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )
    first, second = (json.loads((tmp_path / f"told-{i}.json").read_text()) for i in (0, 1))
    assert first == second
    assert first["adapted"] == first["again"]
    assert first["raised"] == "the first process says no"
    assert "adapted with other notes_sha256" in first["refused"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "adapted", "features", "told-0.json", "told-1.json", "vectors",
    ]  # fmt: skip
    assert FrozenEncoder.from_pretrained(tmp_path / "adapted").dimension == 32
    assert FeatureModel.load(tmp_path / "features").predict(["fever"], progress=False)
