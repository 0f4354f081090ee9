import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fedcausal.graph import Graph
from fedcausal.report.content import (
    CounterfactualCase,
    EdgeRow,
    LedgerRow,
    ReportContent,
    TableView,
)
from fedcausal.report.html import render

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "br", "line", "path", "rect", "circle", "polygon"}


class Outline(HTMLParser):
    """Collects tags, headings and attributes, and checks that tags nest."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.headings = [], set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def content(mixed_fit):
    table = TableView(columns=("Site", EVIL), rows=((EVIL, 1200), ("b", None)), note=EVIL)
    return ReportContent(
        title=f"Study {EVIL}",
        question=EVIL,
        contact=EVIL,
        study_hash="0123456789abcdef" * 4,
        summary=(EVIL,),
        participants=table,
        differences=table,
        releases=table,
        graph=Graph.dag((EVIL, "b"), [(EVIL, "b")]),
        edges=(EdgeRow(source=EVIL, target="b", kind="causes", probability=0.5, votes=EVIL),),
        model=table,
        effects=(
            mixed_fit.model.effect("drug", "pressure", (0, 1), draws=10),
            mixed_fit.model.effect("status", "drug", ("alive", "dead"), draws=10),
        ),
        units={"pressure": EVIL},
        samples=table,
        counterfactuals=(
            CounterfactualCase(name=EVIL, action=EVIL, rows=((EVIL, 1.5, EVIL, True),)),
        ),
        assumptions=(EVIL,),
        limits=(EVIL,),
        warnings=(EVIL,),
        ledger=(
            LedgerRow(site=EVIL, part="graph", epsilon=None),
            LedgerRow(site="b", part="model", epsilon=3.0, delta=1e-5),
        ),
        versions={EVIL: EVIL},
        seeds={EVIL: 0},
        command=EVIL,
    )


@pytest.fixture(scope="module")
def page(content):
    return render(content)


def test_names_are_escaped_everywhere(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 20


def test_nothing_is_loaded_and_nothing_can_run(page):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page.replace("&#34;", ""))
    assert not outline.tags & {"script", "link", "iframe", "img", "object", "form"}
    assert not outline.attributes & {"src", "href", "style", "onload", "onclick", "xlink:href"}


def test_the_policy_allows_the_one_style_sheet_by_its_hash(page):
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page


def test_sections_come_in_the_order_of_a_trial_report(page):
    outline = Outline()
    outline.feed(page)
    assert outline.headings == [
        "Who took part",
        "How the sites' data differ",
        "What left each site",
        "The causal graph",
        "The model",
        "Effects",
        "What the model generates",
        "What would have been",
        "Assumptions and limits",
        "Privacy ledger",
        "How to reproduce this",
    ]


def test_effects_are_told_in_words_and_a_zero_needs_no_plot(content, page):
    for estimate in content.effects:
        assert estimate.sentence in page
    assert page.count("95 % interval 2") + page.count("95 % interval 3") >= 1
    assert page.count("<svg") == 2


def test_sensitivity_and_warnings_stand_beside_the_effect(content):
    found = [estimate for estimate in content.effects if estimate.e_values]
    warned = replace(found[0], warnings=("mind <the> gap",))
    page = render(replace(content, effects=(warned,)))
    assert f"E-value {found[0].e_values[0]:.3g}: to explain the effect away" in page
    assert '<p class="warning">mind &lt;the&gt; gap</p>' in page


def test_the_fingerprint_is_readable(page):
    assert "0123-4567-89ab-cdef-0123-4567-89ab-cdef" in page


def test_an_empty_report_says_so():
    page = render(ReportContent(title="Nothing"))
    outline = Outline()
    outline.feed(page)
    assert "No site is listed." in page
    assert "No part of this study has differential privacy." in page
    assert "The causal graph" not in outline.headings
    assert "Effects" not in outline.headings
