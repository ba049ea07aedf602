"""Suites, scorers, the runner, statistics and comparisons. Changes no route, and imports no live plane."""

from inhouse.evals.chat import ChatCall, ChatClient, ChatReply, GatewayChat, GatewayDownError, GatewayRefusedError
from inhouse.evals.compare import ComparedScore, Comparison, Flip, compare_runs
from inhouse.evals.intervals import (
    Interval,
    clustered_interval,
    quantile_interval,
    score_interval,
    t_interval,
    wilson_interval,
)
from inhouse.evals.jsonable import to_jsonable
from inhouse.evals.loading import load_suite
from inhouse.evals.pairing import (
    McNemar,
    PairedResult,
    compare_pairs,
    mcnemar,
    paired_bootstrap_interval,
    paired_t_interval,
)
from inhouse.evals.recorder import Progress, ProgressCallback
from inhouse.evals.runner import EvalPlan, EvalRun, read_run, rescore, resume_run, run_suite
from inhouse.evals.scorers import SCORERS, ScorerError, make_scorer
from inhouse.evals.scoring import Score, Scorer
from inhouse.evals.suite import Message, Sample, Sampling, ScorerSpec, Suite, take_per_task
from inhouse.evals.summary import (
    CostSummary,
    LatencySummary,
    Metric,
    RunSummary,
    SliceSummary,
    TaskSummary,
    summarize_run,
)
from inhouse.evals.verdict import (
    AllowedLoss,
    Verdict,
    VerdictKind,
    count_more_samples,
    count_samples,
    judge_loss,
    smallest_detectable_loss,
)

__all__ = [
    "SCORERS",
    "AllowedLoss",
    "ChatCall",
    "ChatClient",
    "ChatReply",
    "ComparedScore",
    "Comparison",
    "CostSummary",
    "EvalPlan",
    "EvalRun",
    "Flip",
    "GatewayChat",
    "GatewayDownError",
    "GatewayRefusedError",
    "Interval",
    "LatencySummary",
    "McNemar",
    "Message",
    "Metric",
    "PairedResult",
    "Progress",
    "ProgressCallback",
    "RunSummary",
    "Sample",
    "Sampling",
    "Score",
    "Scorer",
    "ScorerError",
    "ScorerSpec",
    "SliceSummary",
    "Suite",
    "TaskSummary",
    "Verdict",
    "VerdictKind",
    "clustered_interval",
    "compare_pairs",
    "compare_runs",
    "count_more_samples",
    "count_samples",
    "judge_loss",
    "load_suite",
    "make_scorer",
    "mcnemar",
    "paired_bootstrap_interval",
    "paired_t_interval",
    "quantile_interval",
    "read_run",
    "rescore",
    "resume_run",
    "run_suite",
    "score_interval",
    "smallest_detectable_loss",
    "summarize_run",
    "t_interval",
    "take_per_task",
    "to_jsonable",
    "wilson_interval",
]
