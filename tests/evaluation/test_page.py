"""The page: whole without script and network, in words, and no wider than a laptop's screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clinical_tl.errors import ConfigError
from clinical_tl.evaluation.definitions import defined
from clinical_tl.evaluation.estimates import Estimate
from clinical_tl.evaluation.page import report_page
from clinical_tl.evaluation.page_sections import verdict
from clinical_tl.saved.saved_report import read_report
from tests.evaluation.pages import REPORTS, notes_of

ARTEFACTS = Path(__file__).parent.parent.parent / "runs" / "tests" / "pages"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VOID = {"meta", "br"}
WIDTH = 1366


@pytest.fixture(scope="module")
def reports():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1764440566")
        return {name: make() for name, make in REPORTS.items()}


class Reader(HTMLParser):
    """What a page refers to, and whether its elements are closed as they were opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "data", "action") or tag == "link":
                self.loads.append(value)
            if name == "href":
                self.links.add(value)
            if name == "id":
                self.ids.add(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("kind", REPORTS)
def test_the_page_is_one_file_that_loads_nothing(reports, kind):
    page = report_page(reports[kind])
    read = Reader(page)
    assert read.open == []
    assert read.loads == []
    assert read.links == {f"#{name}" for name in read.ids if name != "labels-table"}
    addresses = set(re.findall(r"https?://[^\"\s]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("kind", REPORTS)
def test_the_page_names_model_encoder_data_and_settings(reports, kind):
    report = reports[kind]
    page = report_page(report)
    for said in (
        "encoder with an adapter", "hub:org/biomedical-encoder", "5f1c2a9", "2025-11-29",
        report.provenance.version, report.provenance.notes_sha256, report.provenance.gold_sha256,
        "learning rate", "batch tokens", "rank", "threshold",
        f"test: {report.notes} notes of {report.patients} patients",
    ):  # fmt: skip
        assert said in page, said


@pytest.mark.parametrize("kind", REPORTS)
def test_every_score_is_explained_beside_it(reports, kind):
    page = report_page(reports[kind])
    for metric in reports[kind].scores:
        assert defined(metric), metric
        assert defined(metric).replace("'", "&#x27;") in page


@pytest.mark.parametrize("kind", REPORTS)
def test_plots_have_ticks_titles_and_words(reports, kind):
    page = report_page(reports[kind])
    for title in (
        "probability said", "share that was right", "recall", "precision", "score", "count",
        "epoch", "mean loss of a decision", "f1 on dev", "kept",
    ):  # fmt: skip
        assert f">{title}</text>" in page, title
    assert all("<title>" in svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL))


def test_a_notebook_shows_tables_and_plots_and_no_odd_names(reports):
    html = reports["classification"]._repr_html_()
    assert html.count("<svg") == 4
    assert "<table>" in html
    assert Reader(html).open == []
    # A name of several words may be text that a wrong column put there.
    assert "operative report" not in html.partition("<svg")[2]


def test_what_is_never_predicted_and_never_in_gold_is_said(reports):
    report = reports["coding"]
    said = {row["label"]: row["said"] for row in report.labels}
    by_count = {r["label"]: (r["support"], r["tp"] + r["fp"]) for r in report.labels}
    for label, (support, predicted) in by_count.items():
        assert ("never in the gold" in said[label]) == (support == 0)
        if predicted == 0:
            assert said[label] in ("never predicted", "unknown to the model")
    assert "never predicted" in said.values()
    page = report_page(report)
    assert "<td>never predicted</td>" in page
    assert f"{report.unused} more of the model&#x27;s labels are in neither" in page


def test_codes_have_their_titles(reports):
    titles = {row["label"]: row["title"] for row in reports["coding"].labels}
    assert titles["I50.9"] == "Heart failure, unspecified"
    page = report_page(reports["coding"])
    assert "Most often missed" in page
    assert "Heart failure, unspecified" in page


def test_labels_come_by_support_with_intervals(reports):
    for report in reports.values():
        support = [row["support"] for row in report.labels]
        assert support == sorted(support, reverse=True)
        known = [row for row in report.labels if row["f1_low"] is not None]
        # Of a label that one patient alone has there is none.
        assert len(known) > len(report.labels) / 2
        for row in known:
            assert row["f1_low"] <= row["f1"] <= row["f1_high"]
            assert row["f1_low"] < row["f1_high"]


def test_a_comparison_says_in_words_which_model_is_better(reports):
    page = report_page(reports["classification"])
    assert "paired bootstrap" in page
    assert "this model is better" in page
    assert verdict(Estimate(-0.1, -0.2, -0.01)) == "the other model is better"
    assert verdict(Estimate(0.1, -0.01, 0.2)) == "can't be told apart on these notes"


def test_large_label_sets_get_a_list_and_no_matrix(reports):
    report = reports["classification"]
    assert 'class="matrix"' in report_page(report)
    found = report.confusions
    many = replace(found, labels=(*found.labels, *(f"label{i}" for i in range(20))))
    page = report_page(replace(report, confusions=many))
    assert 'class="matrix"' not in page
    assert "The largest confusions" in page


def test_saved_as_page_as_json_or_as_both(reports, tmp_path):
    report = reports["entities"]
    assert report.save(tmp_path / "a.html").read_text() == report_page(report)
    saved = json.loads(report.save(tmp_path / "b.json").read_text())
    assert saved["provenance"]["made"] == [2025, 11, 29]
    assert saved["mentions"]["by_label"]["Drug"]["right"] > 0
    assert report.save(tmp_path / "both") == tmp_path / "both" / "report.json"
    assert (tmp_path / "both" / "report.html").read_bytes() == (tmp_path / "a.html").read_bytes()
    assert read_report(tmp_path / "both") == report.for_card()
    model = tmp_path / "model"
    model.mkdir()
    (model / "task.json").write_text("{}")
    report.save(model)
    assert sorted(file.name for file in model.iterdir()) == ["report.json", "task.json"]
    with pytest.raises(ConfigError, match=r"written as \.html or \.json"):
        report.save(tmp_path / "report.pdf")


def test_the_same_inputs_give_the_same_bytes(reports, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764440566")
    again = REPORTS["entities"]()
    for ending in ("html", "json"):
        first = reports["entities"].save(tmp_path / f"a.{ending}").read_bytes()
        assert again.save(tmp_path / f"b.{ending}").read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764540566")
    later = REPORTS["entities"]()
    assert later.provenance != again.provenance
    assert replace(later, provenance=again.provenance) == again
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH='yesterday'"):
        REPORTS["entities"]()


def test_no_text_of_notes_is_on_the_page(reports):
    seeds = {"classification": (150, 1), "entities": (120, 2), "coding": (150, 4)}
    for kind, report in reports.items():
        shown = report_page(report) + json.dumps(report.to_dict())
        for note in notes_of(*seeds[kind])[:10]:
            words = note.text.split()
            assert not any(" ".join(words[i : i + 4]) in shown for i in range(len(words) - 4))


def test_names_are_escaped(reports):
    report = reports["classification"]
    rows = tuple({**row, "label": "<b>x</b>"} for row in report.labels)
    page = report_page(replace(report, labels=rows, name="<i>"))
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<i>" not in page


def test_the_report_is_drawn_by_label(reports):
    pytest.importorskip("matplotlib", reason="the extra [plots] is not installed")
    axes = reports["entities"].plot().axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0].startswith("Problem (")
    assert len(names) == len(reports["entities"].labels)
    assert "interval" in axes.get_xlabel()


def chromium(tmp_path, *arguments: str) -> str:
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={WIDTH},3000", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("kind", REPORTS)
def test_the_page_is_laid_out_within_a_laptops_width(reports, kind, tmp_path):
    page = reports[kind].save(tmp_path / "page.html")
    measuring = """<script>
      const root = document.documentElement;
      const field = document.querySelector('input[type="search"]');
      const label = document.querySelector("#labels-table tbody td").textContent;
      field.value = label.toUpperCase();
      field.dispatchEvent(new Event("input"));
      const rows = Array.from(document.querySelectorAll("#labels-table tbody tr"));
      root.dataset.widths = `${root.scrollWidth} ${root.clientWidth}`;
      root.dataset.rows = `${rows.filter((row) => !row.hidden).length} ${rows.length}`;
    </script></body>"""
    measured = tmp_path / "measured.html"
    measured.write_text(page.read_text().replace("</body>", measuring))
    shown = chromium(tmp_path, "--dump-dom", measured.as_uri())
    needed, there = map(int, re.search(r'data-widths="(\d+) (\d+)"', shown).groups())
    assert needed <= there <= WIDTH
    left, every = map(int, re.search(r'data-rows="(\d+) (\d+)"', shown).groups())
    assert 1 <= left < every
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    picture = ARTEFACTS / f"{kind}.png"
    chromium(tmp_path, f"--screenshot={picture}", page.as_uri())
    assert picture.stat().st_size > 50_000
