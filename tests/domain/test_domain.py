"""The value types: digests, egress, prices, ids, errors."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import (
    ERROR_HELP,
    USAGE_BUCKETS,
    CaptureMode,
    ConfigError,
    DataClass,
    DigestBasis,
    DigestField,
    EgressPolicy,
    EndpointError,
    ErrorCode,
    PriceVector,
    RequestError,
    Route,
    SourceLocation,
    StateError,
    Trace,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    Variant,
    compute_digest,
    digest_variant,
    format_usd,
    make_trace_id,
    make_trace_tails,
)
from inhouse.domain.settings import Settings, Share

WEIGHTS = DigestField("weights", "abc", DigestBasis.MEASURED)
ENGINE = DigestField("engine", "llamacpp 1", DigestBasis.DECLARED)


def test_a_digest_does_not_depend_on_the_order_or_basis_of_its_fields() -> None:
    declared = DigestField("weights", "abc", DigestBasis.DECLARED)

    assert (
        compute_digest("deployment", (WEIGHTS, ENGINE)).value == compute_digest("deployment", (ENGINE, declared)).value
    )


def test_a_digest_changes_with_kind_name_and_value() -> None:
    values = {
        compute_digest("deployment", (WEIGHTS,)).value,
        compute_digest("variant", (WEIGHTS,)).value,
        compute_digest("deployment", (DigestField("weight", "abc", DigestBasis.MEASURED),)).value,
        compute_digest("deployment", (DigestField("weights", "abd", DigestBasis.MEASURED),)).value,
    }

    assert len(values) == 4
    assert all(value.startswith("sha256:") and len(value) == 71 for value in values)


def test_a_digest_is_pinned() -> None:
    """A change of this value would make every stored evaluation name a digest that nothing has any more."""
    assert compute_digest("deployment", (WEIGHTS,)).short == "daa96ca85656"


def test_repeated_digest_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="digest fields repeat: weights"):
        compute_digest("deployment", (WEIGHTS, WEIGHTS))


def test_a_variant_digest_covers_template_sampling_and_hooks() -> None:
    values = {
        digest_variant("e").value,
        digest_variant("f").value,
        digest_variant("e", template="t").value,
        digest_variant("e", sampling="s").value,
        digest_variant("e", hooks=("h",)).value,
    }

    assert len(values) == 5


@pytest.mark.parametrize(
    ("sink", "data_class", "is_allowed", "reason"),
    [
        ("own", "personal", True, "personal may go to own"),
        ("openai", "personal", False, "data class personal may not go to openai"),
        ("own", "secret", False, "data class secret is not declared"),
    ],
)
def test_egress_allows_only_declared_processors(sink: str, data_class: str, is_allowed: bool, reason: str) -> None:
    policy = EgressPolicy((DataClass("internal", frozenset({"openai"})), DataClass("personal", frozenset({"own"}))))

    verdict = policy.check(sink, data_class)

    assert (verdict.is_allowed, verdict.reason) == (is_allowed, reason)


@given(st.lists(st.integers(0, 10**9), min_size=len(USAGE_BUCKETS), max_size=len(USAGE_BUCKETS)))
def test_every_bucket_is_priced_once(counts: list[int]) -> None:
    usage = Usage(**dict(zip(USAGE_BUCKETS, counts, strict=True)))
    rates = {name: (index + 1) * 1e-6 for index, name in enumerate(USAGE_BUCKETS)}

    cost = msgspec.convert({"price_id": "p", "per_request": 0.5, **rates}, PriceVector).price(usage)

    exact = Decimal("0.5") + sum(count * (index + 1) * Decimal("1e-6") for index, count in enumerate(counts))
    assert cost == pytest.approx(float(exact), rel=1e-12)
    assert usage.input_total + usage.output_total == sum(counts)


def test_tokens_of_a_kind_that_has_no_rate_leave_the_request_unpriced() -> None:
    rates = dict.fromkeys(USAGE_BUCKETS[:5], 1e-6)
    vector = msgspec.convert({"price_id": "p", **rates}, PriceVector)
    assert vector.price(Usage(1, 1, 1, 1, 1)) == pytest.approx(5e-6)
    for bucket in USAGE_BUCKETS[5:]:
        assert vector.price(Usage(1, 1, 1, 1, 1, **{bucket: 1})) is None


def test_a_vector_keeps_its_lengths_and_tariffs_on_the_way_through_a_snapshot() -> None:
    plain = msgspec.convert({"price_id": "p", **dict.fromkeys(USAGE_BUCKETS, 1e-6)}, PriceVector)
    vector = msgspec.structs.replace(
        plain,
        longer=(
            (10, msgspec.structs.replace(plain, price_id="ten")),
            (20, msgspec.structs.replace(plain, price_id="20")),
        ),
        tiers={"batch": msgspec.structs.replace(plain, price_id="batch")},
    )
    again = msgspec.json.decode(msgspec.json.encode(vector), type=PriceVector)
    assert again == vector
    assert [again.reach(number).price_id for number in (0, 9, 10, 19, 20, 21)] == ["p", "p", "ten", "ten", "20", "20"]
    assert again.price(Usage(input_uncached=25)) == pytest.approx(25e-6)
    batch = again.select(Usage(input_uncached=25), "batch")
    assert batch is not None
    assert batch.price_id == "batch"
    assert again.select(Usage(), "flex") is None
    assert plain.select(Usage(), "flex") is plain


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unpriced"),
        (0, "$0"),
        (Decimal("1234.5"), "$1,234.50"),
        (0.00123456, "$0.0012"),
        (1.26e-7, "$0.00000013"),
    ],
)
def test_dollars_for_people(amount: float | Decimal | None, text: str) -> None:
    assert format_usd(amount) == text


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_trace_ids_are_version_7_uuids_that_sort_by_time(unix_ms: int, random_bytes: bytes) -> None:
    trace_id = make_trace_id(unix_ms, random_bytes)

    assert len(trace_id) == 32
    assert int(trace_id[:12], 16) == unix_ms
    assert trace_id[12] == "7"
    assert trace_id[16] in "89ab"


def test_errors_say_place_problem_and_fix() -> None:
    location = SourceLocation("a.yaml", 3, "routes.x")

    assert (
        str(ConfigError("It is bad.", fix="Mend it.", location=location))
        == "a.yaml:3: routes.x: It is bad. Fix: Mend it."
    )
    assert str(ConfigError("It is bad.", fix="Mend it.")) == "It is bad. Fix: Mend it."
    assert str(SourceLocation("a.yaml")) == "a.yaml"
    assert str(StateError("It is off.", fix="Start it.")) == "It is off. Fix: Start it."
    assert RequestError(400, ErrorCode.MISSING_FIELD, "no model", param="model").param == "model"
    assert EndpointError(ErrorCode.UPSTREAM_CUT, "cut", status=200).is_retryable


def test_every_error_code_is_explained() -> None:
    assert set(ERROR_HELP) == set(ErrorCode)
    assert all(text.endswith(".") for text in ERROR_HELP.values())


def test_a_route_finds_its_variants_by_name() -> None:
    route = Route(name="r", data_class="d", variants=(Variant(name="a", endpoint_id="x"),), default="a")

    assert route.variant("a").endpoint_id == "x"
    assert route.capture is CaptureMode.NONE
    with pytest.raises(KeyError):
        route.variant("b")


def test_a_trace_is_open_until_it_is_closed_and_survives_json() -> None:
    start = TraceOpen(
        trace_id="t", writer="w", started_at=1.5, route="r", variant="v", endpoint_id="e", replica_id="x", key_id="k"
    )
    end = TraceClose(
        trace_id="t", writer="w", ended_at=2.5, status=TraceStatus.COMPLETE, http_status=200, variant="v",
        endpoint_id="e", replica_id="x", e2e_ms=1000.0, usage=Usage(input_uncached=3),
    )  # fmt: skip
    lines = [msgspec.json.encode(start), msgspec.json.encode(end)]

    assert [msgspec.json.decode(line, type=TraceOpen | TraceClose) for line in lines] == [start, end]
    assert Trace(open=start, close=None).status is TraceStatus.OPEN
    assert Trace(open=start, close=end).status is TraceStatus.COMPLETE


class Example(Settings):
    share: Share


@pytest.mark.parametrize(("given_value", "share"), [("12%", "0.12"), (0.5, "0.5"), ("0.25", "0.25"), (1, "1")])
def test_shares_may_be_percentages(given_value: object, share: str) -> None:
    assert Example.model_validate({"share": given_value}).share == Decimal(share)


def test_a_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="decimal"):
        Example.model_validate({"share": "many%"})


@given(random=st.binary(min_size=10, max_size=40).filter(lambda drawn: len(drawn) % 10 == 0))
def test_tails_made_in_a_lot_are_those_of_single_ids(random: bytes) -> None:
    lots = [random[at : at + 10] for at in range(0, len(random), 10)]

    assert make_trace_tails(random) == [make_trace_id(1_700_000_000_000, lot)[12:] for lot in lots]
