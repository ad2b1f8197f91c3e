"""What all estimators share: scikit-learn's idiom, one check of features, saving without pickle.

Settings go into `__init__`, and nothing else does. `fit` gives back the estimator; what it
found is in attributes that end in `_`. So scikit-learn's `clone`, pipelines and searches take
them. A saved estimator is its settings and those attributes (`saved_estimator`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from clinical_tl.errors import ArtifactError, TaskError, refusing, shown_path
from clinical_tl.estimators.features import number_matrix
from clinical_tl.estimators.saved_estimator import read_estimator, write_estimator
from clinical_tl.storage.paths import as_path

if TYPE_CHECKING:
    from typing import Self


class UnfittedError(TaskError, NotFittedError):
    """An estimator was asked before it was fitted."""


class Estimator(BaseEstimator):
    """A scikit-learn estimator that can be saved.

    `found` names what `fit` sets besides `n_features_in_`, `file` what it is saved as.
    """

    file: ClassVar[str]
    found: ClassVar[tuple[str, ...]]

    n_features_in_: int

    def check_fitted(self) -> None:
        """Raises `TaskError` (scikit-learn's `NotFittedError`, too) before `fit`."""
        if not hasattr(self, "n_features_in_"):
            raise UnfittedError(f"this {type(self).__name__} is not fitted; call fit() first")

    def check_matrix(self, X: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Features for a fitted estimator, as `number_matrix` gives them.

        Raises `TaskError` also before `fit`, and for other features than those of training.
        """
        self.check_fitted()
        matrix = number_matrix(X)
        if matrix.shape[1] != self.n_features_in_:
            raise TaskError(
                f"X has {matrix.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input; embed both with the same encoder, layer "
                "and pooling"
            )
        return matrix

    def to_state(self) -> dict[str, Any]:
        """Settings and what `fit` found, by name."""
        self.check_fitted()
        state: dict[str, Any] = self.get_params(deep=False)
        for name in (*self.found, "n_features_in_"):
            value = getattr(self, name)
            state[name] = value.to_state() if isinstance(value, Estimator) else value
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_state`. Raises `KeyError` where something is missing."""
        estimator = cls(**{name: state[name] for name in cls().get_params(deep=False)})
        for name in (*cls.found, "n_features_in_"):
            setattr(estimator, name, state[name])
        return estimator

    def save(self, folder: str | Path) -> Path:
        """Write `<file>.safetensors` into a folder, which is made if need be."""
        write_estimator(self._path(folder), type(self).__name__, self.to_state())
        return as_path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` wrote. Raises `ArtifactError` where that is missing, damaged or another's."""
        file = cls._path(folder)
        state = read_estimator(file, cls.__name__)
        what = f"{shown_path(file)} is of no {cls.__name__} that this version knows"
        with refusing(ArtifactError, what, "fit and save it again"):
            return cls.from_state(state)

    @classmethod
    def is_saved(cls, folder: str | Path) -> bool:
        """Whether a folder holds a saved one."""
        return cls._path(folder).is_file()

    @classmethod
    def _path(cls, folder: str | Path) -> Path:
        return as_path(folder) / f"{cls.file}.safetensors"
