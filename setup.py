"""The one thing that pyproject.toml can't say: under what name the recipes are installed."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["clinical_tl*"]),
        "clinical_tl_recipes",
        "clinical_tl_recipes.configs",
    ],
    package_dir={"clinical_tl_recipes": "recipes"},
)
