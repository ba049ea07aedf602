"""What to do next, what it may cost, when to stop, and what is worth finding out."""

from dataclasses import replace
from decimal import Decimal

from inhouse.catalog import LearnRow
from inhouse.planning.economics import STAY, Decision, Flip, Worth
from inhouse.reports.decision.advice import (
    advise_next,
    find_findings,
    list_gaps,
    say_finding,
    say_findings,
    say_stop,
    say_trial,
)
from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.report import DecisionReport
from inhouse.reports.decision.words import say_licence_gap
from reports.sample import (
    blocked_report,
    own_only_report,
    self_host_report,
    six_use_cases_report,
    typed_report,
)


def change(report: DecisionReport, **decision: object) -> DecisionReport:
    changed: Decision = replace(report.decision, **decision)  # type: ignore[arg-type]
    return replace(report, decision=changed)


def test_a_trial_that_cannot_pay_is_advised_against_with_its_price() -> None:
    assert say_trial(typed_report()) == (
        "Don't run a trial of self-hosting: 3 months cost $32.4k (P10 $29.2k to P90 $35.8k; people $29.1k, GPUs $510, "
        "labels $2.8k), and what it can be expected to gain over the rest of the horizon is $0, as self-hosting is the "
        "cheaper one in 0 % of draws."
    )


def test_a_trial_that_pays_has_a_cap_and_a_stop_rule_from_the_flips() -> None:
    assert say_trial(self_host_report()).endswith(
        "Spend cap: $74.0k. Stop in week 1 if one replica serves fewer than 0.58 requests/s."
    )
    assert say_trial(six_use_cases_report()).endswith(
        "as self-hosting is the cheaper one in 40 % of draws. Spend cap: $12.7k. Stop in week 1 if your evaluation "
        "certifies less than 57 % of the traffic."
    )


def test_no_trial_where_nothing_can_be_learnt_by_it() -> None:
    assert say_trial(blocked_report()) == "No trial of self-hosting: the licence does not allow it."
    assert say_trial(own_only_report()) == "No trial is needed to choose: nothing but self-hosting may be chosen."


def test_the_stop_rule_takes_what_a_week_can_measure_on_the_side_that_loses() -> None:
    """Self-hosting is the answer: it stops being one below a share and a throughput, above a peak and fallbacks."""
    flips = (
        Flip("movable_share", 0.8, 0.5, None, 1.0, 0.0, 0.99),
        Flip("traffic_realism", 0.85, 0.6, None, 1.7, 0.0, 1.0),
        Flip("capacity_factor", 1.0, 0.6, None, 1.8, 0.0, 30.0),
        Flip("peak_factor", 4.0, 7.0, None, 1.9, 1.0, 30.0),
        Flip("fallback_share", 0.03, 0.12, None, 2.0, 0.0, 0.99),
        Flip("setup_usd", 60_000, 90_000, None, 0.5, 0.0, 1e6),
        Flip("cheaper_share", 0.3, None, None, None, 0.0, 0.99),
    )
    report = self_host_report()

    assert say_stop(report, flips, wants_self_host=True) == (
        "Stop in week 1 if your evaluation certifies less than 50 % of the traffic or one replica serves fewer than "
        "4 requests/s or the busiest hour has more than 7× the mean hour's traffic."
    )
    assert say_stop(report, flips[4:], wants_self_host=True) == (
        "Stop in week 1 if more than 12 % of the moved requests fall back."
    )
    assert say_stop(report, flips[1:4], wants_self_host=False) == (
        "Stop when the cap is spent or your evaluation says not approved."
    )


def test_a_flip_on_the_winning_side_or_far_away_stops_nothing() -> None:
    flips = (
        Flip("movable_share", 0.8, 0.9, None, 1.0, 0.0, 0.99),
        Flip("fallback_share", 0.03, 0.01, None, 1.0, 0.0, 0.99),
        Flip("capacity_factor", 1.0, 0.02, None, 9.0, 0.0, 30.0),
    )
    assert say_stop(self_host_report(), flips, wants_self_host=True) == (
        "Stop when the cap is spent or your evaluation says not approved."
    )


def test_without_a_throughput_no_requests_per_second_are_asked_for() -> None:
    report = self_host_report()
    report = replace(report, open_model=replace(report.open_model, requests_per_second=None))
    flips = (Flip("capacity_factor", 1.0, 0.6, None, 1.8, 0.0, 30.0),)

    assert "requests/s" not in say_stop(report, flips, wants_self_host=True)


def test_the_next_step_of_each_family_has_a_cap_and_a_stop_rule() -> None:
    hosted, cheaper, own, only = (
        advise_next(report()) for report in (typed_report, six_use_cases_report, self_host_report, own_only_report)
    )
    assert hosted.step == (
        "Run your suite on gpt-oss-120b at a hosted-open API (groq) for your dearest task type. Where it is approved, "
        "move that use case first: shadow, canary, ramp, full."
    )
    assert (hosted.cap, hosted.stop) == (
        "$15.4k, the P90 of the move.",
        "Stop in week 1 if your evaluation certifies less than 46 % of the traffic.",
    )
    assert cheaper.step == (
        "Change the calls, largest saving first: cheaper tier where a task allows ($5.5k a month); prompt caching "
        "($1.4k a month); batch tariff for what may wait ($1.4k a month)."
    )
    assert cheaper.cap == "$4.5k, the P90 of the changes at the callers."
    assert cheaper.stop == (
        "Stop if “spend on tasks that a cheaper tier may do” turns out to be 28 % or less, or if your evaluation shows "
        "more than the allowed loss."
    )
    assert own.step == "Run the trial on spot GPUs, 3 months, with your dearest task type first."
    assert (own.cap, round(own.cap_usd)) == ("$74.0k, the P90 of the trial's cost.", 74_016)
    assert only.step == "Serve your dearest task type first on owned GPUs. Where it is approved, move the next."
    assert only.cap == "$104k, the P90 of the first build."


def test_staying_spends_nothing_and_says_when_to_ask_again() -> None:
    report = change(typed_report(), chosen=STAY, flips=(Flip("spend_usd_per_month", 2e4, 5e4, None, 1.3, 700, 6e5),))
    step = advise_next(report)

    assert step.step == (
        "Change nothing. Run this command again in three months, or when a price changes, or when the bill reaches "
        "$50.0k a month."
    )
    assert (step.cap_usd, step.cap) == (0.0, "Nothing: no trial is advised.")
    assert advise_next(change(report, flips=())).step.endswith("or when a price changes.")


def test_an_unsettled_licence_comes_before_the_move() -> None:
    report = typed_report()
    model = replace(report.open_model, licence_answer="unknown", missing_facts=("mau", "country"))
    report = replace(report, open_model=model)

    assert advise_next(report).step.startswith("Settle the licence of gpt-oss-120b first. Run your suite on")
    (gap,) = say_licence_gap(report)
    assert gap == (
        "Whether the licence of gpt-oss-120b allows it is not known yet; missing: users a month, the company's country."
    )
    assert say_licence_gap(typed_report()) == ()
    assert "not known yet; missing: users a month" in compose_page(report).headline.scope


def test_the_first_use_case_is_named_where_one_was_found() -> None:
    report = replace(typed_report(), use_cases=six_use_cases_report().use_cases)

    assert "for example-support-triage/classify-incoming-tickets. Where" in advise_next(report).step


def test_what_is_not_known_stands_beside_what_it_costs_to_learn() -> None:
    found = find_findings(six_use_cases_report())

    assert [say_finding(item) for item in found] == [
        ("share of the traffic that open weights answer as well: knowing it is worth $582 a month, $14.0k over the "
        "horizon; $150 and 24 hours: run your suite on the open model at a hosted API, 260 samples a task type."),
        ("spend on tasks that a cheaper tier may do: knowing it is worth $262 a month, $6.3k over the horizon; $60 "
         "and 12 hours: run your suite on the cheaper tier of the same API."),
    ]  # fmt: skip
    assert [item.is_worth_it for item in found] == [True, True]


def test_learning_that_costs_more_than_it_is_worth_says_so_and_unknown_effort_is_unknown() -> None:
    worth = (Worth(name="movable_share", usd_per_month=100.0), Worth(name="fte_share", usd_per_month=90.0))
    learn = {"movable_share": LearnRow(how="ask", usd=Decimal(2_000), hours=Decimal(40))}
    dear, unknown = find_findings(replace(change(typed_report(), worth=worth), learn=learn))

    assert dear.is_worth_it is False
    assert unknown.is_worth_it is None
    assert say_finding(unknown).endswith("what finding out takes is not known.")


def test_what_is_worth_next_to_nothing_is_left_out() -> None:
    assert find_findings(self_host_report()) == ()
    assert say_findings(typed_report()) == (
        "Knowing any one assumption exactly would hardly change the choice: none is worth $44 a month."
    )
    assert say_findings(six_use_cases_report()).startswith("What knowing one assumption exactly would be worth")


def test_gaps_are_named() -> None:
    assert list_gaps(six_use_cases_report()) == ()
    assert list_gaps(blocked_report()) == (
        "The traffic itself: no usage was imported, so volume and mix follow from the bill and assumptions.",
        "The invoice: none was given, so the bill is not reconciled.",
        "The throughput of llama-4-maverick on the GPUs asked for.",
        "A hosted-open price of llama-4-maverick.",
        "For the licence: the group's revenue of a year.",
        "Which share of your traffic the open model answers as well: no evaluation has been run.",
    )
