"""The page, the JSON and the terminal say the same; the page stands alone and escapes what it is given."""

import html
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from inhouse.cli.decide_view import render_terminal
from inhouse.planning.economics import Band
from inhouse.reports.decision import (
    DecisionReport,
    Figure,
    Page,
    compose_page,
    keep_together,
    render_document,
    render_html,
)
from inhouse.reports.decision.html import link_addresses
from reports.sample import SAMPLES, blocked_report, six_use_cases_report, typed_report


@pytest.fixture(params=sorted(SAMPLES))
def report(request: pytest.FixtureRequest) -> DecisionReport:
    made: DecisionReport = SAMPLES[request.param]()
    return made


def plain(page: str) -> str:
    """The text of an HTML page, spaces made one."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    body = re.sub(r'</?b>|<span class="whole">([^<]*)</span>', r"\1", body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


def show(report: DecisionReport, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_terminal(report))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def walk(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for part in value.values() for item in walk(part)]
    if isinstance(value, list):
        return [item for part in value for item in walk(part)]
    return [value]


def sentences(page: Page) -> list[str]:
    step = page.next_step
    head = page.headline
    return [
        *page.banners, head.sentence, head.scope, head.amounts, head.basis, *head.changes, *page.break_even_sentences,
        page.bill.sentence, *(row.sentence for row in page.commitments), *page.gaps, page.trial.advice, step.step,
        step.cap, step.stop, page.footer.text, page.footer.command,
    ]  # fmt: skip


def test_the_document_survives_json_and_carries_no_number_that_json_cannot(report: DecisionReport) -> None:
    document = render_document(report)

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == 1
    assert list(document)[:4] == ["schema", "title", "banners", "headline"]
    assert {type(value) for value in walk(document)} <= {str, int, float, bool, type(None)}


def test_money_is_text_with_cents(report: DecisionReport) -> None:
    for option in render_document(report)["options"]:
        if option["total_usd"] is not None:
            assert re.fullmatch(r"\d+\.\d\d", option["total_usd"]["p50"]["value"])


def test_the_html_says_every_sentence_and_every_figure_of_the_document(report: DecisionReport) -> None:
    text = plain(render_html(report))
    page = compose_page(report)

    said = [
        *sentences(page),
        page.findings_note,
        page.options_note,
        *page.coverage_notes,
        *(duty.rstrip(".") for duty in page.model.duties),
    ]
    if page.tornado:
        said.append(page.tornado_note)
    if not page.use_cases:
        said.remove(page.bill.sentence)
    assert [sentence for sentence in said if sentence.replace("\u00a0", " ") not in text] == []
    for row in page.options:
        if row.total_usd is not None:
            band = row.total_usd
            assert f"{band.p50.text} {band.p10.text} to {band.p90.text}" in text
    for row in (*page.assumptions, *page.flips[:10], *page.tornado[:10]):
        assert row.label in text
    for row in page.use_cases:
        assert f"{row.name} " in text
        assert row.usd_per_month.text in text


def test_the_terminal_says_the_same(report: DecisionReport) -> None:
    page = compose_page(report)
    text = " ".join(show(report, 100).replace("\u00a0", " ").split())

    said = [sentence for sentence in sentences(page) if page.use_cases or sentence != page.bill.sentence]
    assert [sentence for sentence in said if sentence.replace("\u00a0", " ") not in text] == []
    for row in page.options:
        if row.total_usd is not None and not row.is_twin:
            assert f"{row.total_usd.p50.text} {row.total_usd.p10.text} to {row.total_usd.p90.text}" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_terminal_page_is_never_wider_than_the_terminal_nor_cut_off(report: DecisionReport, width: int) -> None:
    lines = show(report, width).splitlines()

    assert max(len(line) for line in lines) <= width
    assert "…" not in "".join(lines)
    assert len(lines) <= 110


def test_a_band_on_the_terminal_stands_where_its_figures_are() -> None:
    rows = {line[:31].strip("▸ "): line for line in show(typed_report(), 100).splitlines() if "█" in line}
    page = compose_page(typed_report())
    positions = {
        row.name: (rows[row.name].index("█"), row.total_usd.p50.number)
        for row in page.options
        if row.name in rows and row.total_usd is not None
    }
    by_cell = sorted(positions.values())

    assert len(positions) == 8
    assert [usd for _, usd in sorted(by_cell, key=lambda pair: pair[1])] == sorted(usd for _, usd in by_cell)
    assert by_cell[0][0] < by_cell[-1][0]


def test_nothing_is_fetched_and_addresses_are_links_only(report: DecisionReport) -> None:
    page = render_html(report)

    assert re.findall(r"<(?:script|link|img|iframe|object|embed|form)\b", page) == []
    assert re.findall(r"\b(?:src|srcset|action|poster)=|url\(|@import", page) == []
    without_links = re.sub(r'<a href="https://[^"]+" rel="noreferrer">[^<]+</a>', "", page)
    assert "http" not in without_links
    assert set(re.findall(r'href="([^"]+)"', page)) - set(re.findall(r'href="(https://[^"]+)"', page)) == {"#main"}


def test_no_text_is_lost_to_nan_none_or_an_empty_figure(report: DecisionReport) -> None:
    text = plain(render_html(report)) + show(report, 100)

    assert re.findall(r"\b(?:nan|NaN|None(?! carries)|inf|Infinity)\b", text) == []
    assert all(value != "" for value in walk(render_document(report)["headline"]))


def test_what_a_user_wrote_is_escaped() -> None:
    report = six_use_cases_report()
    nasty = "<img src=x onerror=alert(1)> & “co”"
    case = replace(report.use_cases[0], name=nasty, models=(nasty,), reasons=(nasty,))
    report = replace(
        report,
        use_cases=(case,),
        command=nasty,
        scope=replace(report.scope, title=nasty, sources=(nasty,)),
        open_model=replace(report.open_model, model=nasty, licence=nasty, duties=(nasty,)),
    )
    page = render_html(report)

    assert "<img" not in page
    assert plain(page).count("<img src=x onerror=alert(1)> & “co”") >= 7
    assert "[/" not in show(replace(report, command="[/red] [bold]"), 100).replace("[/red]", "")


def test_addresses_in_sources_become_links_and_the_rest_stays_text() -> None:
    assert str(link_addresses('see https://example.com/a?b=1&c=2, checked <today> "now"')) == (
        'see <a href="https://example.com/a?b=1&amp;c=2" rel="noreferrer">https://example.com/a?b=1&amp;c=2</a>, '
        "checked &lt;today&gt; &#34;now&#34;"
    )
    assert "<a" not in str(link_addresses("javascript:alert(1) http://example.com"))


def test_examples_and_simulated_traffic_are_said_before_anything_else() -> None:
    example = plain(render_html(six_use_cases_report()))
    simulated = plain(render_html(SAMPLES["self-host"]()))

    assert example.index("Example figures") < example.index("Don't self-host.", example.index("Example figures"))
    assert "Some of this traffic went to a simulated provider" in simulated
    assert show(six_use_cases_report(), 100).startswith("Example figures: made up to show the page.")


def test_sections_stand_in_the_order_of_the_argument() -> None:
    page = render_html(six_use_cases_report())
    headings = re.findall(r'<h[12] id="([a-z-]+)"', page)

    assert headings == [
        "answer", "options", "break-even", "bill", "assumptions", "tornado", "flips", "savings", "coverage",
        "committed", "unknown", "model", "trial", "next",
    ]  # fmt: skip


def test_what_may_not_be_chosen_is_grey_and_says_why_and_unknown_figures_are_not_drawn() -> None:
    page = compose_page(blocked_report())
    hosted = next(row for row in page.options if row.option == "hosted_open/hybrid")
    text = render_html(blocked_report())

    assert (hosted.is_choosable, hosted.reason, hosted.total_usd) == (False, "the licence does not allow it", None)
    assert '<tr class="is-excluded">' in text
    assert "Hosted-open API the licence does not allow it not known" in plain(text)


def test_costs_line_by_line_add_up_to_their_total() -> None:
    for row in compose_page(typed_report()).options:
        assert row.total_usd is not None
        parts = sum(line.usd.mean.number for line in row.lines)
        assert parts == pytest.approx(row.total_usd.mean.number, abs=0.1)


def test_the_assumptions_name_their_owner_the_users_own_first() -> None:
    owners = [row.owner for row in compose_page(six_use_cases_report()).assumptions]

    assert list(dict.fromkeys(owners)) == ["typed", "imported", "catalog", "assumed"]


def test_unpriced_and_unknown_use_cases_say_so() -> None:
    voice = next(row for row in compose_page(six_use_cases_report()).use_cases if row.name == "example-voice-notes")

    assert (voice.usd_per_month.text, voice.share_of_bill.text) == ("unpriced", "not known")
    assert voice.usd_per_month.value is None


def test_a_saving_without_a_candidate_or_break_even_is_still_a_page() -> None:
    report = six_use_cases_report()
    cases = tuple(replace(case, is_candidate=False, moved_saving_usd=Band(1, 2, 3, 2)) for case in report.use_cases)
    report = replace(report, use_cases=cases, decision=replace(report.decision, break_even=None, flips=(), tornado=()))

    assert "begin here" not in render_html(report)
    assert "Begin with" not in show(report, 80)


def test_every_plot_has_a_name_for_those_who_do_not_see_it(report: DecisionReport) -> None:
    page = render_html(report)

    for svg in re.findall(r"<svg [^>]*>", page):
        assert 'aria-hidden="true"' in svg or re.search(r'role="img" aria-label="[^"]+"', svg), svg
    assert page.count("<h1") == 1
    assert '<html lang="en">' in page


def test_pages_of_little_knowledge_still_stand() -> None:
    """No spend, no savings, no price of GPUs; and figures that are not known refuse to be drawn."""
    report = typed_report()
    assert report.decision.break_even is not None
    zero = replace(report.decision.break_even, spend_usd_beside_stay=None, spend_usd_beside_best=None)
    free = tuple(
        replace(item, low=0.0, mid=0.0, high=0.0) if item.name == "spend_usd_per_month" else item
        for item in report.decision.assumptions
    )
    decision = replace(report.decision, break_even=zero, assumptions=free, quick_savings_usd={})
    page = render_html(replace(report, decision=decision))

    assert "Quick savings" not in page
    assert "API spend a month" not in page
    with pytest.raises(ValueError, match="cannot be drawn"):
        _ = Figure(None, "not known").number


def test_without_a_price_of_gpus_the_question_stays_open() -> None:
    report = blocked_report()
    model = replace(report.open_model, licence_answer="allowed", gpu="H200")

    assert "no price of such a GPU is known" in plain(render_html(replace(report, open_model=model)))


def test_keeping_together_changes_no_word() -> None:
    sentence = compose_page(typed_report()).headline.sentence

    assert keep_together(sentence).replace("\u00a0", " ") == sentence
