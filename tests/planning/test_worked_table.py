"""The published break-even table and the well-known claims come out of the formula: when each holds, and when not.

The workload: 2,000 tokens in and 400 out at $2 and $10 a million; gpt-oss-120b on one H200 at $3.50 an hour, 6.7
requests a second by the two-point method, run at 70 %, peaks of four times the mean, 80 % of the traffic moved.
"""

from __future__ import annotations

import pytest

from inhouse.planning.economics import Family, OptionId, Terms, cost_options
from inhouse.planning.economics.costs import replica_seconds_per_request
from planning.worked import make_question

HYBRID = OptionId(Family.SELF_HOST, Terms.ON_DEMAND, is_hybrid=True)
HOSTED = OptionId(Family.HOSTED_OPEN, None, is_hybrid=True)

# spend, GPUs, mean utilisation %, GPUs ÷ displaced %, with 20 % API %, with a spare replica %, with people % (FTE),
# with set-up over 24 months % (set-up), hosted-open with 20 % API %
TABLE = [
    (500, 1, 0, 639, 531, 1042, 1402, 0.1, 1902, 60_000, 25),
    (2_000, 1, 1, 160, 148, 276, 366, 0.1, 490, 60_000, 25),
    (5_000, 1, 3, 64, 71, 122, 158, 0.1, 208, 60_000, 25),
    (10_000, 1, 6, 32, 46, 71, 116, 0.25, 141, 60_000, 25),
    (20_000, 1, 11, 16, 33, 46, 91, 0.5, 118, 130_000, 25),
    (50_000, 2, 14, 13, 30, 35, 71, 1, 82, 130_000, 25),
    (100_000, 4, 14, 13, 30, 33, 69, 2, 74, 130_000, 25),
    (200_000, 7, 16, 11, 29, 30, 48, 2, 51, 130_000, 25),
    (500_000, 17, 17, 11, 29, 29, 36, 2, 37, 130_000, 25),
]


def share_of_bill(spend: float, option: OptionId = HYBRID, /, **changed: float) -> float:
    """What an option costs in percent of the bill as it is."""
    question = make_question(spend_usd_per_month=spend, **changed)
    costs = cost_options(question.assumptions.mids(), question.fleet, (option,))[option]
    return float(costs.total[0]) / spend * 100


def test_two_points_give_the_published_rate() -> None:
    """One replica serves 6.7 requests a second of this shape."""
    assert 1 / float(replica_seconds_per_request(make_question().assumptions.mids())[0]) == pytest.approx(6.7, abs=0.05)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"${row[0]:,}")
def test_the_worked_table(row: tuple[float, ...]) -> None:
    """Every figure of the table, within its rounding."""
    spend, gpus, utilisation, displaced, plain, spare, people, fte, setup, setup_usd, hosted = row
    question = make_question(spend_usd_per_month=spend)
    costs = cost_options(question.assumptions.mids(), question.fleet, (HYBRID,))[HYBRID]
    assert costs.num_gpus is not None
    assert costs.utilisation is not None
    assert float(costs.num_gpus[0]) == gpus
    assert float(costs.utilisation[0]) * 100 == pytest.approx(utilisation, abs=0.5)
    assert float(costs.lines["gpus"][0]) / (0.8 * spend) * 100 == pytest.approx(displaced, abs=0.5)
    assert float(costs.total[0]) / spend * 100 == pytest.approx(plain, abs=0.5)
    assert share_of_bill(spend, spare_replicas=1) == pytest.approx(spare, abs=0.5)
    assert share_of_bill(spend, spare_replicas=1, fte_share=fte) == pytest.approx(people, abs=0.6)
    assert share_of_bill(spend, spare_replicas=1, fte_share=fte, setup_usd=setup_usd) == pytest.approx(setup, abs=1.0)
    assert share_of_bill(spend, HOSTED) == pytest.approx(hosted, abs=0.5)


def test_40_to_60_percent_holds_for_compute_alone_at_5_to_10_thousand_dollars() -> None:
    """It holds for the GPUs and the rest at the API alone, and fails with a spare replica and a tenth of an FTE."""
    assert share_of_bill(5_500) == pytest.approx(66, abs=1)
    assert 40 <= share_of_bill(7_000) <= 60
    assert 40 <= share_of_bill(10_000) <= 60
    assert share_of_bill(7_000, spare_replicas=1, fte_share=0.1) > 100


def test_40_to_60_percent_holds_with_two_engineers_at_120_to_400_thousand_dollars() -> None:
    """And fails below a hundred thousand: then it is more than two thirds."""
    everything = {"spare_replicas": 1.0, "fte_share": 2.0, "setup_usd": 130_000.0}
    assert share_of_bill(100_000, **everything) > 70
    assert 40 <= share_of_bill(150_000, **everything) <= 60
    assert share_of_bill(400_000, **everything) == pytest.approx(40, abs=0.5)
    assert share_of_bill(800_000, **everything) < 40


def test_40_to_60_percent_is_pessimistic_for_compute_alone_above_20_thousand_dollars() -> None:
    """Then it is a third or less, of which 20 points are what stays at the API."""
    assert share_of_bill(20_000) == pytest.approx(33, abs=0.5)
    assert share_of_bill(50_000) == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize(
    ("changed", "break_even"),
    [
        ({"fte_share": 0.1}, 5_400),
        ({"fte_share": 0.1, "spare_replicas": 1.0}, 8_600),
        ({"fte_share": 0.1, "spare_replicas": 1.0, "setup_usd": 60_000.0}, 11_800),
        # With one replica and its spare it would be 58,000; the traffic of such a bill needs three and the spare.
        ({"fte_share": 2.0, "spare_replicas": 1.0, "setup_usd": 130_000.0}, 64_500),
    ],
    ids=["one replica and a tenth of an FTE", "a spare replica too", "set-up too", "two engineers"],
)
def test_over_5000_dollars_holds_only_as_the_marginal_case(changed: dict[str, float], break_even: float) -> None:
    """The smallest spend at which self-hosting costs no more than staying."""
    paying = next(spend for spend in range(500, 100_000, 20) if share_of_bill(spend, **changed) <= 100)
    assert paying == pytest.approx(break_even, rel=0.015)


def test_under_500_dollars_fails_for_any_gpu_of_ones_own() -> None:
    """The cheapest useful GPU alone costs more than twice the bill; a GPU that is paid for already is the exception."""
    l40s = {"gpu_usd_per_hour.on_demand": 1.55}
    assert share_of_bill(500, **l40s) > 220
    question = make_question((Terms.ORDERED,), 1, spend_usd_per_month=500, power_usd_per_gpu_month=0)
    ordered = OptionId(Family.SELF_HOST, Terms.ORDERED, is_hybrid=True)
    costs = cost_options(question.assumptions.mids(), question.fleet, (ordered,))[ordered]
    assert float(costs.total[0]) == pytest.approx(100)


def test_two_engineers_are_a_platform_cost_of_about_ten_use_cases() -> None:
    """One use case of $5,000 on a pooled fleet nets 67 to 71 % of its bill; 9 to 13 of them carry two engineers."""
    nets = [1 - share_of_bill(spend) / 100 for spend in (50_000, 100_000)]
    assert all(0.67 <= net <= 0.715 for net in nets)
    assert 30_000 / (max(nets) * 5_000) == pytest.approx(9, abs=0.6)
    assert pytest.approx(13, abs=0.2) == 43_000 / (0.67 * 5_000)


def test_against_a_cheap_tier_the_claim_collapses() -> None:
    """At $0.10 and $0.50 one H200 breaks even at 36 % mean utilisation before people, if everything moves."""
    question = make_question(
        api_input_usd_per_mtok=0.1, api_output_usd_per_mtok=0.5, api_cached_usd_per_mtok=0.1
    ).assumptions.mids()
    seconds = float(replica_seconds_per_request(question)[0])
    per_request = 2_000 * 0.1e-6 + 400 * 0.5e-6
    assert 3.5 * seconds / 3600 / per_request == pytest.approx(0.36, abs=0.01)
    assert 3.5 * 730 / per_request == pytest.approx(6.4e6, rel=0.01)


def test_hosted_open_beats_ones_own_gpus_below_27_percent_utilisation() -> None:
    """And fourfold peaks run at 70 % allow 17.5: on demand, the same weights at somebody's API win at any volume."""
    values = make_question().assumptions.mids()
    seconds = float(replica_seconds_per_request(values)[0])
    hosted = 2_000 * 0.15e-6 + 400 * 0.6e-6
    assert 3.5 * seconds / 3600 / hosted == pytest.approx(0.27, abs=0.005)
    for spend in (1e4, 1e5, 1e6, 1e7):
        assert share_of_bill(spend) > share_of_bill(spend, HOSTED)
