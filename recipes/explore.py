"""Look at notes without labels: clusters and their words, and how well strange notes stand out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.estimators.terms import distinctive_terms

from .command_line import run

if TYPE_CHECKING:
    import numpy as np

# The percentile of training notes above which a person would be asked to look.
STRANGE = 95


def main(
    corpus: str | None = None,
    train: str | None = None,
    test: str | None = None,
    outside: str | None = None,
    read: ReadOptions = ReadOptions(),
    allow_leakage: bool = False,
    limit: int | None = None,
    encoder: str = "offline",
    cache: str | None = None,
    clusters: Literal["kmeans", "hdbscan"] = "kmeans",
    n_clusters: int | None = None,
    min_cluster_size: int = 10,
    dimensions: int | None = None,
    min_notes: int = 5,
    seed: int = 0,
) -> dict[str, float]:
    """Cluster training notes, and tell notes from outside from dev and test notes.

    Args:
        corpus: a public corpus by name, or "synthetic", the default without train.
        train: your own notes (JSON lines, CSV, BRAT, …); labels are used if there are any.
        test: more notes of the same kind; split off train by patient, as dev is, if not given.
        outside: notes of another kind: a public corpus by name (its test notes) or a file.
        read: how the files are read, e.g. --read.columns.text letter.
        allow_leakage: go on where the files share patients or texts.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        cache: folder to keep embeddings in; as confidential as the notes.
        clusters: k-means, or HDBSCAN, which leaves notes out that are in no dense region.
        n_clusters: for k-means; chosen by the silhouette if not given.
        min_cluster_size: for HDBSCAN.
        dimensions: principal components to cluster in; all dimensions if not given.
        min_notes: notes (or patients) of a cluster that must share a word for it to be shown.
        seed: of all that is left to chance.

    Returns:
        ARI and NMI where there are labels, and the AUROC of each novelty method.
    """
    from clinical_tl.estimators.clustering import Clustering, clustering_scores
    from clinical_tl.network.embeddings import embed

    splits = ctl.note_splits(
        corpus, train, None, test, read=read, limit=limit, allow_leakage=allow_leakage
    )
    notes = splits["train"]
    matrix = embed(encoder, notes, cache=cache).matrix
    clustering = Clustering(
        clusters,
        n_clusters=n_clusters,
        min_cluster_size=min_cluster_size,
        dimensions=dimensions,
        seed=seed,
    ).fit(matrix)
    _print_clusters(clustering, notes, min_notes)
    figures: dict[str, float] = {}
    labels = list(notes["label"])
    if any(label is not None for label in labels):
        figures |= clustering_scores(clustering.labels_, labels).summary()
        print(ctl.display.format_table([figures]))
    if outside is not None:
        other = read.read(outside) if Path(outside).exists() else ctl.data.load_corpus(outside)
        strange = other["test"] if isinstance(other, dict) else other
        strange = strange[:limit]
        like_train = ctl.Notes([*splits["dev"], *splits["test"]])
        sides = [embed(encoder, some, cache=cache).matrix for some in (like_train, strange)]
        known = labels if None not in labels else clustering.labels_.tolist()
        patients = {"train": notes["patient_id"]}
        patients["scored"] = [*like_train["patient_id"], *strange["patient_id"]]
        rows = _novelty_rows(matrix, sides, known, patients, seed)
        print(ctl.display.format_table(rows))
        figures |= {f"auroc_{row['method']}": row["AUROC"] for row in rows}
    return figures


def _print_clusters(clustering: Any, notes: Any, min_notes: int) -> None:  # noqa: ANN401  (unimported)
    print(ctl.display.format_table([vars(candidate) for candidate in clustering.candidates_]))
    terms = distinctive_terms(
        notes["text"], clustering.labels_, min_notes=min_notes, patients=notes["patient_id"]
    )
    sizes = clustering.sizes_
    rows = [
        {"cluster": c, "notes": int(sizes[c]), "words": ", ".join(term.term for term in found)}
        for c, found in terms.by_cluster.items()
    ]
    print(ctl.display.format_table(rows))
    silhouette = "–" if clustering.silhouette_ is None else f"{clustering.silhouette_:.3f}"
    print(
        f"{clustering.n_clusters_} clusters, silhouette {silhouette}, {clustering.noise_} notes in "
        f"none; words of fewer than {min_notes} notes of a cluster are withheld: {terms.withheld}"
    )


def _novelty_rows(
    train: np.ndarray,
    sides: list[np.ndarray],
    labels: list[Any],
    patients: dict[str, list[str | None]],
    seed: int,
) -> list[dict[str, Any]]:
    from clinical_tl.estimators.novelty import METHODS, NoveltyDetector, novelty_auroc

    rows = []
    for method in METHODS:
        detector = NoveltyDetector(method, seed=seed).fit(
            train, labels if method == "relative_mahalanobis" else None, patients["train"]
        )
        inside, outside = (detector.novelty(side) for side in sides)
        auroc = novelty_auroc(inside, outside, groups=patients["scored"], seed=seed)
        rows.append(
            {
                "method": method,
                "AUROC": auroc.estimate,
                "low": auroc.low,
                "high": auroc.high,
                f"inside > {STRANGE} %": float((detector.rank(inside) > STRANGE).mean()),
                f"outside > {STRANGE} %": float((detector.rank(outside) > STRANGE).mean()),
                "shareable": "no" if detector.holds_notes else "yes",
            }
        )
    return rows


if __name__ == "__main__":
    run(main)
