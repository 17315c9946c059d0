"""Code shared by the comparisons with other servers: the peers that can be measured, their forms, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

from msgspec.structs import replace

from benchmarks.forms import BENTOML, LITSERVE, MLSERVER, Form
from benchmarks.peers.environments import ensure, python_of, versions
from benchmarks.records import Glance, Plan, Table
from benchmarks.rounds import Entrant, Shots, compare, middle, ratio
from benchmarks.servers import ask, serving, settle

__all__ = ["Forms", "fastest", "glances", "heat_table", "present", "shortened", "verdicts", "weigh"]

ENVIRONMENTS = {MLSERVER: "mlserver", LITSERVE: "litserve", BENTOML: "bentoml"}
EQUAL = (0.95, 1.10)  # between these, nobody would notice
REQUESTS = 200
Forms = Mapping[str, Form]


def shortened(plan: Plan) -> Plan:
    """A plan for differences of several times, which need fewer and shorter turns than those of a few percent."""
    return replace(plan, rounds=min(plan.rounds, 4), seconds=min(plan.seconds, 2))


def present(names: Sequence[str], plan: Plan) -> tuple[list[str], list[str]]:
    """The peers that can be measured, and a note on each: its versions, or why it is left out.

    Missing environments are made first; a quick run only uses what is there.
    """
    found, notes = [], []
    for name in names:
        environment = ENVIRONMENTS[name]
        missing = None if plan.quick else ensure(environment)
        if python_of(environment):
            found.append(name)
            notes.append(f"{name}: {versions(environment)}.")
        else:
            command = "`python -m benchmarks.peers.environments` makes its environment"
            notes.append(f"{name} is left out: {missing or command}.")
    return found, notes


def fastest(forms: Sequence[Form], peers: Sequence[str], model: Path, workers: int, plan: Plan,
            folder: Path) -> tuple[Forms, Shots]:  # fmt: skip
    """The fastest form of each peer, and the shots of all forms; a quick run takes the first ones unmeasured.

    `plan.seconds` should be long enough for the slowest form to answer 16 requests that come at once.
    """
    offered = {form.name: form for form in forms if form.peer in peers}
    if plan.quick or not offered:
        return {form.peer: form for form in reversed(offered.values())}, {}
    heat = replace(plan, rounds=1)
    shots = compare({name: form.entrant(model, workers) for name, form in offered.items()}, heat, folder)
    best = sorted(offered.values(), key=lambda form: middle(shots[form.name], lambda s: s.rate))
    return {form.peer: form for form in best}, shots


def heat_table(title: str, shots: Shots) -> list[Table]:
    """All forms, the fastest first; no table of no shots."""
    columns = ("form", "requests/s", "CPU us a request")
    order = sorted(shots.items(), key=lambda pair: -middle(pair[1], lambda s: s.rate))
    rows = [
        (name, f"{middle(its, lambda s: s.rate):,.0f}", f"{middle(its, lambda s: s.cpu):,.0f}") for name, its in order
    ]
    return [Table(title, columns, tuple(rows))] if rows else []


def weigh(entrants: Mapping[str, Entrant], folder: Path) -> tuple[list[Table], dict[str, float]]:
    """Starts each alone, so that it shares memory with nobody, and gives its size in MB after some requests."""
    rows, raw = [], {}
    for name, entrant in entrants.items():
        with serving(entrant.command, entrant.load, folder) as server:
            seconds = perf_counter() - server.began
            for _ in range(REQUESTS):
                ask(server, entrant.load)
            settle([server], step=0.1, patience=2.0)
            raw[name] = server.megabytes()
            rows.append((name, str(len(server.family())), f"{raw[name]:.0f}", f"{seconds:.1f}"))
    columns = ("server", "processes", "PSS MB, all of them", "seconds to the first answer")
    return [Table("size and start, 1 worker, each alone", columns, tuple(rows))] if rows else [], raw


def glances(workload: str, ours: str, shots: Shots) -> list[Glance]:
    """A line of the summary for each of the others."""
    return [
        Glance(
            workload=workload, server=name,
            rate=f"{middle(its, lambda s: s.rate):,.0f}",
            cpu=f"{middle(its, lambda s: s.cpu):,.0f}",
            p99=f"{middle(its, lambda s: s.p99) / 1000:,.1f}",
            ratio="" if name == ours else f"{ratio(shots[ours], its).median:.2f}",
            cpu_ratio="" if name == ours else f"{ratio(its, shots[ours], lambda s: s.cpu).median:.2f}",
        )
        for name, its in shots.items()
    ]  # fmt: skip


def verdicts(workload: str, ours: str, shots: Shots) -> list[str]:
    """Sentences for where it makes no difference, or we lose; what begins with our name is ours too."""
    ratios = {name: ratio(shots[ours], its).median for name, its in shots.items() if not name.startswith(ours)}
    sentences = [
        f"{workload}: {name} answers {1 / found:.2f} times as many requests."
        for name, found in ratios.items()
        if found < EQUAL[0]
    ]
    equal = [f"{name} ({found:.2f})" for name, found in ratios.items() if EQUAL[0] <= found <= EQUAL[1]]
    if equal:
        sentences.append(f"{workload}: no difference to {_listed(equal)}; in brackets, our requests a second over its.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
