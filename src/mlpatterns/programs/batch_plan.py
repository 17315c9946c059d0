"""The options of a batch run, and the choice between continuing an earlier run and beginning anew."""

from __future__ import annotations

import logging

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import Conflict
from mlpatterns.ids import new_id
from mlpatterns.stores.batch import BatchRun, Shape

__all__ = ["BatchPlan", "next_run"]

log = logging.getLogger("mlpatterns")


class BatchPlan(Struct, frozen=True):
    """The options of a run.

    Attributes:
        where: the condition that chooses rows; `stores/batch/where.py` describes it.
        into: the column of the source that receives the predictions; a row that has a prediction is done.
        restart: whether the run begins anew, regardless of earlier runs.
        batch_rows: the rows of one call of the model; by default the run finds the best number in its first second.
        retry_seconds: how long the run retries a model that is unavailable, before it gives up.
        call_seconds: the time limit of one call of the model.
    """

    where: str = ""
    into: str | None = None
    restart: bool = False
    batch_rows: int | None = None
    retry_seconds: float = 300.0
    call_seconds: float = 60.0


def next_run(
    before: BatchRun | None, plan: BatchPlan, shape: Shape, identity: str, model: str, now: float
) -> tuple[BatchRun | None, bool]:
    """The run to continue or to begin, and whether earlier results are deleted; None if there is nothing to do.

    Raises:
        Conflict: an unfinished run has another model, source or condition.
    """
    fresh = BatchRun(new_id(), identity, model, shape.digest, plan.where, began=now, at=now)
    if before is None:
        return fresh, plan.restart
    fresh = replace(fresh, revision=before.revision)
    if plan.restart:
        return fresh, True
    if before.status == "finished":
        if shape.digest:  # a file: a changed file gets new results
            return (None, False) if _same(before, fresh) else (fresh, True)
        if plan.into:
            return replace(fresh, status="finished"), False
        if before.where != plan.where:
            raise Conflict(
                f"the rows up to {before.after!r} were chosen by {before.where or 'no condition'}; restart the run to "
                "choose again"
            )
        # A table that grows: the rows after the last key.
        return replace(fresh, after=before.after, rows=before.rows, failed=before.failed, status="finished"), False
    for what, then, asked in (
        ("model", before.identity, identity),
        ("input", before.digest, shape.digest),
        ("condition", before.where, plan.where),
    ):
        if then != asked:
            raise Conflict(
                f"an unfinished run over {before.rows + before.failed} rows had another {what}"
                f"{f', {before.model}' if what == 'model' else ''}; finish it with that one, or restart it"
            )
    log.info("continuing an unfinished run after %d rows", before.rows + before.failed)
    return before, False


def _same(before: BatchRun, fresh: BatchRun) -> bool:
    return (before.identity, before.digest, before.where) == (fresh.identity, fresh.digest, fresh.where)
