"""Frozen suites: samples, their scorers, the sampling, and the digest over all that moves a score. Reads no file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from inhouse.evals.scorers import make_scorer
from inhouse.evals.scoring import Scorer


class Message(Struct, frozen=True):
    """One message of a prompt; `content` is text, or parts as in the OpenAI dialect."""

    role: str
    content: str | tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The content's text parts, joined by newlines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(str(part["text"]) for part in self.content if "text" in part)


class Sample(Struct, frozen=True, kw_only=True):
    """One input with its target.

    `cluster` names samples that belong together (one customer, one document): they vary together, and the error says
    so. A `must_pass` sample that the candidate fails makes it not approved, whatever the average says.
    """

    id: str
    task: str
    messages: tuple[Message, ...]
    target: str | None = None
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    must_pass: bool = False

    @property
    def prompt(self) -> str:
        """The messages as text for people: the one user message bare, else each with its role."""
        if len(self.messages) == 1:
            return self.messages[0].text
        return "\n".join(f"{message.role}: {message.text}" for message in self.messages)


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How answers are drawn: greedy and seeded unless the suite says otherwise.

    `extra` travels into the request as it stands (for example `chat_template_kwargs`).
    """

    temperature: float = 0.0
    max_tokens: int = 512
    seed: int | None = 7
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    extra: dict[str, Any] = {}


class ScorerSpec(Struct, frozen=True, kw_only=True):
    """A scorer as the digest sees it: name, version, and every option, defaults included."""

    name: str
    version: int
    options: dict[str, Any]

    def build(self) -> Scorer:
        """The scorer itself; ScorerError where this inhouse does not know it."""
        return make_scorer(self.name, self.options)


class Suite(Struct, frozen=True, kw_only=True):
    """A curated test set with everything that moves a score.

    `scorers` gives each task its scorers; the first is the task's primary one, whose mean is the suite's total.
    `ref` is where it was read from. `digest` covers samples, scorers and sampling, neither name nor order.
    """

    name: str
    ref: str
    description: str = ""
    sampling: Sampling = Sampling()
    scorers: dict[str, tuple[ScorerSpec, ...]]
    samples: tuple[Sample, ...]
    digest: str

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that have samples, in the suite's order."""
        present = {sample.task for sample in self.samples}
        return tuple(task for task in self.scorers if task in present)

    @property
    def has_clusters(self) -> bool:
        """Whether some sample names a cluster."""
        return any(sample.cluster is not None for sample in self.samples)

    def primary(self, task: str) -> ScorerSpec:
        """The scorer whose value is the task's score."""
        return self.scorers[task][0]


def specify_scorer(scorer: Scorer) -> ScorerSpec:
    """The spec of a scorer."""
    return ScorerSpec(name=scorer.name, version=scorer.version, options=msgspec.to_builtins(scorer))


def digest_suite(samples: Sequence[Sample], scorers: Mapping[str, Sequence[ScorerSpec]], sampling: Sampling) -> str:
    """`sha256:<64 hex digits>` over samples (by id), scorers of each task (name, version, options) and sampling."""
    payload = msgspec.json.encode(
        [
            sorted(samples, key=lambda sample: sample.id),
            {task: list(specs) for task, specs in scorers.items()},
            sampling,
        ],
        order="sorted",
    )
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"


def renew_scorers(suite: Suite) -> Suite:
    """The suite with the scorer versions and default options of this inhouse, and the digest that follows.

    Raises:
        ScorerError: this inhouse does not know one of its scorers or options.
    """
    specs = {task: tuple(specify_scorer(spec.build()) for spec in found) for task, found in suite.scorers.items()}
    digest = digest_suite(suite.samples, specs, suite.sampling)
    return msgspec.structs.replace(suite, scorers=specs, digest=digest)


def take_per_task(suite: Suite, num_samples: int) -> Suite:
    """The suite's first `num_samples` samples of each task, as a suite with a digest of its own.

    For a quick look: a run of it is never compared with a run of the whole.
    """
    if num_samples < 1:
        raise ValueError(f"{num_samples} samples of each task leave nothing to run")
    taken: dict[str, int] = {}
    samples: list[Sample] = []
    for sample in suite.samples:
        taken[sample.task] = taken.get(sample.task, 0) + 1
        if taken[sample.task] <= num_samples:
            samples.append(sample)
    digest = digest_suite(samples, suite.scorers, suite.sampling)
    return msgspec.structs.replace(suite, samples=tuple(samples), digest=digest)
