"""What a decision says, word for word."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from inhouse.catalog import Unit
from inhouse.planning.economics import STAY, Band, Family, Flip, Owner
from inhouse.reports.decision.report import Commitment, Reconciliation
from inhouse.reports.decision.words import (
    say_amounts,
    say_basis,
    say_break_even,
    say_change,
    say_commitment,
    say_decision,
    say_nearness,
    say_reconciliation,
    say_requests_per_second,
    say_scope,
    say_short,
    say_taken,
    say_threshold,
    say_tornado,
)
from reports.sample import (
    assume,
    blocked_report,
    own_only_report,
    self_host_report,
    six_use_cases_report,
    typed_report,
)

_UNPRICED = "3,112 requests are unpriced."
_TOKENS = "Tokens at the price book's rates come to"


def test_the_decision_is_one_sentence_with_money_interval_and_chance() -> None:
    assert say_decision(typed_report()) == (
        "Don't self-host. Move the share that passes your evaluation to gpt-oss-120b at a hosted-open API: $8.8k a "
        "month instead of $19.4k (P10 $6.7k to P90 $11.6k), cheapest in 98 % of 10,000 draws."
    )
    assert say_short(typed_report()) == "Don't self-host. Move to a hosted-open API."


def test_staying_and_one_number_of_gpus_are_told_plainly() -> None:
    stay = replace(typed_report(), decision=replace(typed_report().decision, chosen=STAY))
    assert say_decision(stay).startswith(
        "Don't self-host. Stay at the API as it is: $19.4k a month (P10 $15.9k to P90 $24.0k), cheapest in 0 % of "
    )
    report = self_host_report()
    options = tuple(
        replace(item, num_gpus=Band(4, 4, 4, 4), saving_usd=Band(-3, -2, -1, -2)) for item in report.decision.options
    )
    dear = replace(report, decision=replace(report.decision, options=options))
    assert "on 4 × H200 (spot GPUs): $114k a month, where staying would cost $353k (" in say_decision(dear)


def test_an_answer_that_nothing_flips_says_so() -> None:
    report = six_use_cases_report()
    none = replace(report, decision=replace(report.decision, flips=(), self_host_flips=()))
    own = self_host_report()

    assert say_change(none)[0] == "No single assumption changes the answer, moved alone as far as was searched."
    assert say_change(replace(own, decision=replace(own.decision, flips=(), self_host_flips=())))[1] == (
        "Self-hosting stays the answer: no single assumption, moved alone as far as was searched, ends it."
    )


def test_self_hosting_names_gpus_terms_and_how_often_the_terms_matter() -> None:
    assert say_decision(self_host_report()) == (
        "Self-host. Serve the share that passes your evaluation with gpt-oss-120b on 9 to 16 × H200 (spot GPUs): "
        "$114k a month instead of $353k (P10 $94.5k to P90 $140k), cheapest in 83 % of 10,000 draws (self-hosting on "
        "any terms: 100 %)."
    )
    assert say_short(self_host_report()) == "Self-host."


def test_a_rule_that_leaves_only_own_machines_is_the_reason() -> None:
    assert say_decision(own_only_report()).startswith(
        "Self-host: only your own machines may see this data. Serve all of the traffic with gpt-oss-120b on 2 to 3 × "
        "H200 (owned GPUs): $17.6k a month, where staying would cost $19.4k ("
    )
    assert say_change(own_only_report()) == ("Nothing else may be chosen, so no assumption changes the answer.",)


def test_a_blocked_model_says_so_before_the_answer() -> None:
    assert say_decision(blocked_report()).startswith(
        "Don't self-host llama-4-maverick: the licence does not allow it. Stay at the API and use it more cheaply: "
    )
    assert say_change(blocked_report())[1] == "Self-hosting may not be chosen: the licence does not allow it."


def test_what_is_not_known_is_not_said_to_lose() -> None:
    """Without a throughput nobody can say that self-hosting costs more."""
    report = blocked_report()
    report = replace(report, open_model=replace(report.open_model, licence_answer="allowed"))

    assert say_short(report).startswith(
        "Whether to self-host llama-4-maverick is not known: nothing is known about the model's throughput on the GPUs "
        "asked for."
    )
    assert say_change(report)[1].startswith("Whether self-hosting could win is not known: ")
    assert say_break_even(report) == (
        "No break-even can be said: nothing is known about the model's throughput on the GPUs asked for.",
    )


def test_the_nearest_change_says_value_range_and_how_near() -> None:
    assert say_change(typed_report()) == (
        (
            "The nearest change: at 46 % or less for “share of the traffic that open weights answer as well” (taken: "
            "80 %, range 50 % to 90 %) the answer becomes: stay, used more cheaply. That is just outside its range."
        ),
        "Self-hosting does not win: no single assumption, moved alone as far as was searched, makes it the answer.",
    )


def test_where_the_nearest_change_is_self_hosting_it_is_told_once() -> None:
    first, second = say_change(six_use_cases_report())

    assert first.endswith("the answer becomes: self-host. That is inside its range.")
    assert second == "Self-hosting wins there too. 8 of 48 assumptions do it, each alone within its stated range."


def test_self_hosting_as_the_answer_says_where_it_stops_paying() -> None:
    assert say_change(self_host_report())[1] == (
        "Self-hosting stops paying there too. No single assumption within its stated range does it."
    )


def test_another_flip_to_self_hosting_is_named() -> None:
    report = six_use_cases_report()
    flips = report.decision.self_host_flips
    decision = replace(report.decision, self_host_flips=(flips[2], *(f for f in flips[3:] if f.flips_at is None)))

    assert say_change(replace(report, decision=decision))[1] == (
        "Self-hosting wins at $26.9k a month or more for “API bill” (taken: $21.9k a month, exact), a factor of 1.2 "
        "away. No single assumption within its stated range does it."
    )


def test_scope_amounts_and_basis_are_honest() -> None:
    assert say_scope(six_use_cases_report().scope) == (
        "Holds for Example Ltd, customer service, 2026-10-01 to 2026-10-30 (30 days): imported from a usage export. "
        "A changed mix, price or model needs a new decision."
    )
    assert say_scope(typed_report().scope).startswith(
        "Holds for one bill of $22,000 a month: known from typed figures only, none of it measured."
    )
    assert say_amounts(typed_report().decision) == (
        "Amounts are dollars a month averaged over 24 months, in which volume and prices change: today's bill of "
        "$22.0k is $19.4k on that average."
    )
    assert say_basis(typed_report().decision) == (
        "33 of 48 assumptions are inhouse's own reference ranges (marked assumed). List prices and GPU prices are "
        "dated facts of the catalog, not quotes: your contract may differ."
    )


def test_break_even_is_told_by_spend_and_by_utilisation() -> None:
    assert say_break_even(typed_report()) == (
        (
            "With today's mix, self-hosting (ordered GPUs) costs no more than staying from $22.5k a month, and no "
            "more than the best other option from $2.0M a month. Today's bill: $22.0k a month."
        ),
        (
            "Its GPUs are busy 12 % (9.3 % to 16 %) of the time on average. Alone, without people and set-up, they "
            "cost as much as today's API at 2.1 % (1.6 % to 2.7 %) and as much as the hosted-open API at 29 % (23 % "
            "to 38 %)."
        ),
    )
    assert "a month, and nothing else may be chosen. Today" in say_break_even(own_only_report())[0]
    report = typed_report()
    assert report.decision.break_even is not None
    found = replace(report.decision.break_even, spend_usd_beside_best=None, utilisation_beside_hosted=None)
    report = replace(
        report,
        decision=replace(report.decision, break_even=found),
        open_model=replace(report.open_model, hosted_usd_per_mtok=None),
    )
    by_spend, by_use = say_break_even(report)
    assert "and more than the best other option up to 1,000 times today's bill. Today's bill" in by_spend
    assert "hosted-open" not in by_use


def test_the_tornado_says_whether_anything_crosses() -> None:
    start = (
        "What self-hosting saves a month beside the best other option, as one assumption goes from its P10 to its P90."
    )
    assert (
        say_tornado(typed_report().decision)
        == f"{start} None carries it across $0: self-hosting costs more at every end."
    )
    assert (
        say_tornado(self_host_report().decision)
        == f"{start} None carries it across $0: self-hosting pays at every end."
    )
    assert say_tornado(six_use_cases_report().decision) == f"{start} 2 of 29 carry it across $0."
    assert say_tornado(blocked_report().decision).startswith("No comparison: ")


@pytest.mark.parametrize(
    ("usd", "until", "expected"),
    [
        (None, None, "2 × H100, ordered: not avoidable, amount not stated, cancellable or ended: not stated"),
        (
            Decimal(60_000),
            date(2027, 3, 1),
            "2 × H100, ordered: not avoidable, $60.0k, cancellable or ended: from 2027-03-01",
        ),
    ],
)
def test_a_commitment_says_what_was_not_stated(usd: Decimal | None, until: date | None, expected: str) -> None:
    assert say_commitment(Commitment(what="2 × H100, ordered", usd=usd, until=until)) == expected


@pytest.mark.parametrize(
    ("computed", "stated", "invoice", "unpriced", "expected"),
    [
        (None, None, None, None, "Nothing to reconcile: no usage was priced and no invoice was given."),
        (None, "90", None, None, "The export says $90; no usage was priced, so it is not reconciled."),
        ("90", None, None, 0, f"{_TOKENS} $90; no invoice was given, so it is not reconciled."),
        ("90", "95", "100", 3_112, f"{_TOKENS} $90, the invoice says $100: 10 % not explained. {_UNPRICED}"),
        ("110", "100", None, None, f"{_TOKENS} $110, the export says $100: 10 % more than was billed."),
    ],
)  # fmt: skip
def test_the_bill_is_reconciled_in_words(
    computed: str | None, stated: str | None, invoice: str | None, unpriced: int | None, expected: str
) -> None:
    def amount(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    bill = Reconciliation(
        computed_usd=amount(computed),
        stated_usd=amount(stated),
        invoice_usd=amount(invoice),
        num_unpriced_requests=unpriced,
    )
    assert say_reconciliation(bill) == expected


def flip(at: float | None, now: float, distance: float | None = None) -> Flip:
    return Flip("any", now, at, None if at is None else Family.STAY, distance, 0.0, 0.99)


def test_how_near_a_flip_is() -> None:
    ranged = assume("any", (0.5, 0.8, 0.9), Unit.SHARE, Owner.ASSUMED)
    one_sided = assume("any", (0.0, 0.0, 0.4), Unit.SHARE, Owner.ASSUMED)
    exact = assume("any", 22_000, Unit.USD_PER_MONTH, Owner.TYPED)

    assert say_nearness(ranged, flip(0.6, 0.8, 0.7)) == "inside its range"
    assert say_nearness(ranged, flip(0.46, 0.8, 1.13)) == "just outside its range"
    assert say_nearness(ranged, flip(0.05, 0.8, 2.5)) == "2.5 × its range away"
    assert say_nearness(one_sided, flip(0.9, 0.0, 2.25)) == "outside its range"
    assert say_nearness(exact, flip(4_540, 22_000, 2.28)) == "a factor of 4.8 away"
    assert say_nearness(exact, flip(0, 22_000, 1.0)) == "stated exactly"
    assert say_nearness(ranged, flip(None, 0.8)) == "no value searched flips it"


def test_thresholds_and_what_is_taken() -> None:
    ranged = assume("any", (0.5, 0.8, 0.9), Unit.SHARE, Owner.ASSUMED)

    assert say_threshold(ranged, flip(0.46, 0.8, 1.13)) == "46 % or less"
    assert say_threshold(ranged, flip(0.95, 0.8, 1.5)) == "95 % or more"
    assert say_threshold(ranged, flip(None, 0.8)) == "nothing from 0 % to 99 %"
    assert say_taken(ranged) == "taken: 80 %, range 50 % to 90 %"
    assert say_taken(assume("any", 0.15, Unit.USD_PER_MTOK, Owner.CATALOG)) == "taken: $0.15 per M tokens, exact"


def test_throughput_says_its_interval_or_that_it_is_not_known() -> None:
    assert say_requests_per_second(Band(4.4, 5.7, 7.1, 5.7)) == "5.7 requests/s (4.4 to 7.1)"
    assert say_requests_per_second(None) == "not known"
