"""The results of an experiment for people: a sentence, a table, and the confidence sequences as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from mlpatterns.analysis.experiment import ArmResult, MetricResult, Verdict
from mlpatterns.markup import Markup, element, group, piece_page, table

__all__ = ["page"]

WIDTH, ROW, LEFT = 640, 34, 180  # of the picture, in SVG units
HEADS = ("Arm", "Users", "Events", "Value", "Effect", "From", "To", "p", "No feedback", "Detectable", "Verdict")


def page(
    title: str,
    control: str,
    verdict: Verdict,
    facts: Sequence[tuple[str, str | float]],
    samples: Sequence[tuple[int, str, int, float]] = (),
) -> str:
    """The page; `facts` are further rows of its first table, `samples` are rows of revision, arm, users and expected
    users.
    """
    body: list[str] = [element("p", element("strong", f"{verdict.state}: "), verdict.says)]
    body += [element("p", warning, class_="warn") for warning in verdict.warnings]
    body.append(table(("What", "Found"), [*facts, ("p of the users by arm (mismatch at 0.001)", verdict.srm_p)]))
    for metric in verdict.metrics:
        body += [element("h2", f"{metric.name} ({metric.better} is better)"), _table(metric), _picture(metric)]
    if samples:
        body += [element("h2", "Users by weights"), table(("Revision", "Arm", "Users", "Expected"), samples)]
    body.append(element("p", f"Effects are against {control}. From and To are a confidence sequence, and p is valid at "
                        "any time: look as often as you like.", class_="quiet"))  # fmt: skip
    return piece_page(f"Experiment {title}", *body)


def _table(metric: MetricResult) -> Markup:
    return table(HEADS, [_row(arm, one) for arm, one in metric.arms.items()])


def _row(name: str, one: ArmResult) -> tuple[str | float, ...]:
    shown = [one.effect, one.lower, one.upper, one.p]
    return (name, one.users, one.events, one.value, *["" if value is None else value for value in shown],
            f"{one.missing:.1%}", "" if one.detectable is None else one.detectable, one.conclusion)  # fmt: skip


def _picture(metric: MetricResult) -> Markup:
    """The intervals of all arms except the control, on one axis that includes 0."""
    known = {arm: one for arm, one in metric.arms.items() if one.lower is not None and one.upper is not None}
    if not known:
        return group()
    most = max(max(abs(one.lower or 0), abs(one.upper or 0)) for one in known.values()) or 1.0
    half, middle = (WIDTH - LEFT) / 2 - 10, LEFT + (WIDTH - LEFT) / 2
    drawn = [_line(middle, 0, middle, ROW * len(known) + 8, "#888", 1)]
    for number, (arm, one) in enumerate(known.items()):
        y = ROW * number + ROW / 2
        low, effect, high = (middle + half * (value or 0) / most for value in (one.lower, one.effect, one.upper))
        colour = {"better": "#2a7", "worse": "#c33"}.get(one.conclusion, "#58a")
        drawn += [
            element("text", arm, x="0", y=f"{y + 5:.1f}", fill="currentColor", font_size="14"),
            _line(low, y, high, y, colour, 3),
            element("circle", cx=f"{effect:.1f}", cy=f"{y:.1f}", r="5", fill=colour),
        ]
    height = ROW * len(known) + 24
    drawn.append(element("text", "0", x=f"{middle - 4:.1f}", y=f"{height - 4}", fill="currentColor", font_size="12"))
    said = "; ".join(f"{arm} from {one.lower:.5g} to {one.upper:.5g}" for arm, one in known.items())
    return element("svg", *drawn, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=said)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", stroke=colour,
                   stroke_width=str(width))  # fmt: skip
