"""The state folder that a measured gateway starts from: one key, one route, one endpoint, prices."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from inhouse.domain import (
    ApiKey,
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Network,
    PriceVector,
    Replica,
    Route,
    Snapshot,
    Variant,
)
from inhouse.gateway.auth import hash_token

PEPPER = bytes(range(32))
TOKEN = "sk-bench"  # noqa: S105  # a key of the measurement alone


def write_state(home: Path, upstream_port: int) -> None:
    """Make the folder; the route `chat` goes to the endpoint `tiny` on loopback, an OpenAI dialect."""
    (home / "run").mkdir(parents=True)
    endpoint = Endpoint(
        endpoint_id="tiny",
        kind=EndpointKind.OWN,
        dialect=Dialect.OPENAI,
        model="tiny",
        processor="own",
        replicas=(Replica(replica_id="tiny-0", base_url=f"http://127.0.0.1:{upstream_port}/v1"),),
        network=Network(is_declared_private=True),
        price=_price(),
        digest="sha256:bench",
    )
    route = Route(
        name="chat", data_class="internal", variants=(Variant(name="own", endpoint_id="tiny"),), default="own"
    )
    snapshot = Snapshot(
        version=1,
        created_at=time.time(),
        routes={"chat": route},
        endpoints={"tiny": endpoint},
        keys=(ApiKey(key_id="bench", key_hash=hash_token(PEPPER, TOKEN), team="bench"),),
        egress=EgressPolicy((DataClass("internal", frozenset({"own"})),)),
    )
    (home / "run" / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))


def _price() -> PriceVector:
    return PriceVector(
        price_id="bench",
        input_uncached=1e-6,
        cache_read=1e-6,
        cache_write=1e-6,
        output_visible=2e-6,
        output_reasoning=2e-6,
    )
