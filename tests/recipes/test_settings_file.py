"""YAML on the command line: small files stay small, and what is refused is said."""

from __future__ import annotations

import pytest

from clinical_tl.training.config import TrainingConfig
from recipes.command_line import run

BOMB = "\n".join(
    ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)


def recipe(training: TrainingConfig = TrainingConfig(), output: str = "x") -> str:
    return f"{training.epochs} {training.learning_rate} {output}"


@pytest.mark.parametrize("flag", ["--config", "--training"])
@pytest.mark.parametrize(
    ("text", "told"), [(BOMB, "aliases"), ("epochs: " + "[" * 100_000, "levels deep")]
)
def test_a_bomb_is_refused_and_named(tmp_path, capsys, flag, text, told):
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(SystemExit) as caught:
        run(recipe, [f"{flag}={tmp_path / 'bomb.yaml'}"])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def test_configs_and_values_are_read_as_before(tmp_path):
    (tmp_path / "run.yaml").write_text("output: z\ntraining:\n  epochs: 3\n  learning_rate: 1e-3\n")
    assert run(recipe, [f"--config={tmp_path / 'run.yaml'}"]) == "3 0.001 z"
    assert run(recipe, ["--output=*.jsonl"]) == recipe(output="*.jsonl")
