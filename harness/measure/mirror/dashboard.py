"""The sweep's workspace on W&B, made by a command: what is in it, and that the same command again changes nothing.

The workspace is found again by its name: W&B keeps views under names of the client's choice, and ours is a digest of
team, project and the name that people see. Sections of other names, which people added, stay as they are.
"""

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from harness.record.errors import BadInput, HarnessError
from harness.record.folders.folder import OUTCOMES

MISSING = "wandb-workspaces is not installed: pip install '.[dashboard]'"
MODELS = 100
"""So many lines and bars fit into one panel; W&B shows ten where nothing is said."""

_NAMED_BY_CHANCE = ("__id__", "id", "ref")
"""Keys of a view that W&B's client fills with random words."""


def wanted(entity: str, project: str, group: str | None) -> Any:
    """The workspace as it should be; `group`: only runs of this W&B group. Raises BadInput without the package."""
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as ws
        from wandb_workspaces import expr
    except ImportError as error:
        raise BadInput(MISSING) from error
    by_model: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "minmax", "max_runs_to_show": MODELS}
    accuracy = [
        panels.LinePlot(
            title=f"{words} accuracy against arithmetic",
            x="spent_pflop",
            y=[metric],
            log_x=True,
            title_x="PFLOP spent on training (2 per MAC)",
            title_y=f"{words} accuracy",
            **by_model,
        )
        for metric, words in (("top1", "Top-1"), ("top5", "Top-5"))
    ]
    costs = [
        panels.ScatterPlot(
            title="Cost to target by date of publication",
            x=panels.SummaryMetric("published_year"),
            y=panels.SummaryMetric("cost_to_target_paper_pflop"),
            log_y=True,
            regression=True,
        ),
        panels.BarPlot(
            title="Cost to target, PFLOP (3 x forward MACs x images)",
            metrics=["cost_to_target_paper_pflop"],
            max_bars_to_show=MODELS,
            **by_model,
        ),
    ]
    outcomes = panels.BarPlot(
        title="Runs by outcome",
        metrics=[f"outcome/{outcome}" for outcome in OUTCOMES],
        title_x="runs",
        max_bars_to_show=MODELS * len(OUTCOMES),
        **{**by_model, "groupby_aggfunc": "sum", "groupby_rangefunc": "none"},
    )
    speed = [
        panels.LinePlot(title=title, x="images", y=[metric], title_x="images seen", title_y=unit, **by_model)
        for title, metric, unit in (
            ("Throughput", "images_per_second", "images a second"),
            ("Time spent waiting for data", "data_wait_share", "share of training time"),
        )
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="Cost to target" if group is None else f"Cost to target: {group}",
        sections=[
            _section(ws, "Accuracy and arithmetic", accuracy),
            _section(ws, "Cost to target", costs),
            _section(ws, "Outcomes", [outcomes]),
            _section(ws, "Throughput and data wait", speed),
        ],
        settings=ws.WorkspaceSettings(max_runs=MODELS, ignore_outliers=False),
        runset_settings=ws.RunsetSettings(
            filters=[] if group is None else [expr.Metric("Group") == group],
            groupby=[expr.Config("model.name")],
            order=[expr.Ordering(expr.Summary("cost_to_target_paper_pflop"))],
            pinned_columns=[
                "run:displayName",
                "summary:outcome",
                "summary:top1",
                "summary:cost_to_target_paper_pflop",
                "summary:spent_pflop",
                "summary:crossing/epoch",
            ],
        ),
    )


def _section(ws: Any, name: str, panels: list[Any]) -> Any:
    layout = ws.SectionLayoutSettings(columns=len(panels), rows=1)
    return ws.Section(name=name, panels=panels, is_open=True, layout_settings=layout)


def spec(workspace: Any) -> dict[str, Any]:
    """What W&B is sent for a workspace, without the words that its client draws by chance."""
    sent: dict[str, Any] = _without_chance(
        workspace._model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    )
    return sent


def _without_chance(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_chance(v) for k, v in value.items() if k not in _NAMED_BY_CHANCE}
    return [_without_chance(item) for item in value] if isinstance(value, list) else value


def default_entity() -> str:
    """The account's own team or user. Raises HarnessError where W&B does not tell."""
    with _one_line("W&B does not say whose key this is"):
        import wandb

        entity = wandb.Api().default_entity
    if not entity:
        raise BadInput("the key's account has no team of its own: give --entity")
    return str(entity)


def make(workspace: Any) -> tuple[str, str]:
    """Bring W&B's view of that name to what is wanted; return "made", "updated" or "unchanged", and its address.

    Raises HarnessError in one line where W&B does not answer or refuses.
    """
    view = _view_name(workspace)
    with _one_line("W&B did not take the workspace"):
        there = _there(workspace, view)
        if there is None:
            workspace._internal_name = f"nw-{view}-v"  # as the package's own message asks
            return "made", str(workspace.save().url)
        before = spec(there)
        _bring_to(there, workspace)
        if spec(there) == before:
            return "unchanged", str(there.url)
        return "updated", str(there.save().url)


def _view_name(workspace: Any) -> str:
    """Eleven letters and digits, as the package's own random names have them."""
    whole = f"{workspace.entity}/{workspace.project}/{workspace.name}"
    return base64.b32encode(hashlib.sha256(whole.encode()).digest()).decode().lower()[:11]


def _there(workspace: Any, view: str) -> Any:
    """The view as W&B has it; None where it has none."""
    try:
        return type(workspace).from_url(f"https://wandb.ai/{workspace.entity}/{workspace.project}?nw={view}")
    except ValueError as error:
        if "not found in project" in str(error):
            return None
        if "not found" in str(error):
            place = f"{workspace.entity}/{workspace.project}"
            raise BadInput(
                f"W&B has no project {place}: upload a run first (`harness sync`), or give --project"
            ) from error
        raise


def _bring_to(there: Any, workspace: Any) -> None:
    """Sections of our names as wanted, in the order found; other sections, colours and hidden runs stay."""
    ours = {section.name: section for section in workspace.sections}
    names = [section.name for section in there.sections]
    there.sections = [ours.get(section.name, section) for section in there.sections] + [
        section for name, section in ours.items() if name not in names
    ]
    there.name = workspace.name
    there.settings = workspace.settings
    kept = there.runset_settings
    there.runset_settings = workspace.runset_settings
    there.runset_settings.run_settings = kept.run_settings
    there.runset_settings.group_colors = kept.group_colors


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Whatever W&B raises, as one line."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HarnessError(f"{what} ({reason})") from error
