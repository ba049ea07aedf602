"""Admin API, snapshot compiler, reconciler of desired and observed state. Pages are console's."""

from inhouse.control.admin import Admin, AdminIdentity, hide_content, hide_samples, hide_secrets
from inhouse.control.api import ApiError, admin_of, build_app, read_limit, read_status_filter
from inhouse.control.compile import CompileInputs, Misfit, compile_endpoints, compile_snapshot, find_misfits
from inhouse.control.guard import check_admin_host
from inhouse.control.observe import KNOWN_COMPANIES
from inhouse.control.problems import ReferenceProblem
from inhouse.control.process import ControlRun, run_control
from inhouse.control.reconciler import DesiredState, ObservedState, Reconciler
from inhouse.control.references import check_references, list_endpoint_ids
from inhouse.control.snapshotfile import SNAPSHOT_PATH, read_snapshot, write_snapshot
from inhouse.control.status import (
    ReplicaStatus,
    RouteStatus,
    SnapshotStatus,
    Status,
    StoreStatus,
    TaskShare,
    Traffic,
    VariantStatus,
)
from inhouse.control.storelink import StoreLink

__all__ = [
    "KNOWN_COMPANIES",
    "SNAPSHOT_PATH",
    "Admin",
    "AdminIdentity",
    "ApiError",
    "CompileInputs",
    "ControlRun",
    "DesiredState",
    "Misfit",
    "ObservedState",
    "Reconciler",
    "ReferenceProblem",
    "ReplicaStatus",
    "RouteStatus",
    "SnapshotStatus",
    "Status",
    "StoreLink",
    "StoreStatus",
    "TaskShare",
    "Traffic",
    "VariantStatus",
    "admin_of",
    "build_app",
    "check_admin_host",
    "check_references",
    "compile_endpoints",
    "compile_snapshot",
    "find_misfits",
    "hide_content",
    "hide_samples",
    "hide_secrets",
    "list_endpoint_ids",
    "read_limit",
    "read_snapshot",
    "read_status_filter",
    "run_control",
    "write_snapshot",
]
