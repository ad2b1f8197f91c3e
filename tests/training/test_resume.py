"""Kills and several processes: the weights must not notice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent.parent
MODULE = "tests.training.run_training"


def command(encoder, folder, accumulation="1", dropout="0.1"):
    weights = folder / "weights.safetensors"
    return [MODULE, str(encoder), str(folder / "run"), str(weights), accumulation, dropout], weights


def run(arguments, **environment):
    subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        check=True,
        timeout=3000,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def uninterrupted(tiny_encoder, tmp_path_factory):
    arguments, weights = command(tiny_encoder, tmp_path_factory.mktemp("whole"))
    run(arguments)
    return load_file(weights)


def steps_written(folder):
    log = folder / "run" / "train_log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.parametrize("after", [3, 9])
def test_a_killed_run_resumed_ends_with_the_same_bits(uninterrupted, tiny_encoder, tmp_path, after):
    arguments, weights = command(tiny_encoder, tmp_path)
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT)
    deadline = time.monotonic() + 120
    while steps_written(tmp_path) < after and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not weights.exists()
    assert any((tmp_path / "run").glob("checkpoint-*"))
    run(arguments)
    resumed = load_file(weights)
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)


def test_a_finished_run_is_not_run_again(uninterrupted, tiny_encoder, tmp_path):
    arguments, weights = command(tiny_encoder, tmp_path)
    run(arguments)
    steps = steps_written(tmp_path)
    weights.unlink()
    run(arguments)
    assert steps_written(tmp_path) == steps
    again = load_file(weights)
    assert all(torch.equal(again[name], uninterrupted[name]) for name in again)


def test_two_processes_end_where_one_with_the_same_effective_batch_does(tiny_encoder, tmp_path):
    """Same shares, same seeds a share; sums in another order leave about 1e-6."""
    one, weights_of_one = command(tiny_encoder, tmp_path / "one", accumulation="2")
    two, weights_of_two = command(tiny_encoder, tmp_path / "two", accumulation="1")
    run(one)
    (tmp_path / "two").mkdir(exist_ok=True)
    # `accelerate launch --cpu` starts several processes under MPI alone; this is its launcher
    # of several processes, told to stay on the CPU.
    launch = [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--main_process_port", "0", "-m"),
    ]
    run([*launch, *two], ACCELERATE_USE_CPU="true")
    first, second = load_file(weights_of_one), load_file(weights_of_two)
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-4)
