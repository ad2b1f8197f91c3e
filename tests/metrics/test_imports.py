import subprocess
import sys

CODE = """
import sys
from importlib import import_module
from pkgutil import iter_modules

from clinical_tl import metrics

names = [module.name for module in iter_modules(metrics.__path__)]
for name in names:
    import_module(f"clinical_tl.metrics.{name}")
heavy = {"scipy", "sklearn", "seqeval", "torch", "pandas", "datasets", "spacy"} & set(sys.modules)
sys.exit(f"loaded: {sorted(heavy)}" if heavy or len(names) < 7 else 0)
"""


def test_importing_the_metrics_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
