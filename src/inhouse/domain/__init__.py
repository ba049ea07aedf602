"""Frozen value types that every room shares: no I/O, no clocks, no environment."""

from inhouse.domain.decision import Candidate, RequestFacts, RouteDecision
from inhouse.domain.digest import Digest, DigestBasis, DigestField, compute_digest, digest_variant
from inhouse.domain.egress import OWN_PROCESSOR, DataClass, EgressPolicy, EgressVerdict
from inhouse.domain.errors import (
    ERROR_TYPES,
    ConfigError,
    EndpointError,
    ErrorCode,
    InhouseError,
    RequestError,
    SourceLocation,
    StateError,
)
from inhouse.domain.ids import make_trace_id
from inhouse.domain.snapshot import (
    ApiKey,
    CaptureMode,
    Dialect,
    Endpoint,
    EndpointKind,
    Modality,
    Replica,
    ReplicaState,
    Route,
    Rule,
    Snapshot,
    Variant,
)
from inhouse.domain.trace import Attempt, Trace, TraceClose, TraceOpen, TraceStatus
from inhouse.domain.usage import USAGE_BUCKETS, PriceVector, Usage, UsageBasis, format_usd

__all__ = [
    "ERROR_TYPES",
    "OWN_PROCESSOR",
    "USAGE_BUCKETS",
    "ApiKey",
    "Attempt",
    "Candidate",
    "CaptureMode",
    "ConfigError",
    "DataClass",
    "Dialect",
    "Digest",
    "DigestBasis",
    "DigestField",
    "EgressPolicy",
    "EgressVerdict",
    "Endpoint",
    "EndpointError",
    "EndpointKind",
    "ErrorCode",
    "InhouseError",
    "Modality",
    "PriceVector",
    "Replica",
    "ReplicaState",
    "RequestError",
    "RequestFacts",
    "Route",
    "RouteDecision",
    "Rule",
    "Snapshot",
    "SourceLocation",
    "StateError",
    "Trace",
    "TraceClose",
    "TraceOpen",
    "TraceStatus",
    "Usage",
    "UsageBasis",
    "Variant",
    "compute_digest",
    "digest_variant",
    "format_usd",
    "make_trace_id",
]
