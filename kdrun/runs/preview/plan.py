"""Tables of `kdrun plan`: stages, teachers, layer pairs, estimates."""

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table
from rich.tree import Tree

from kdrun.catalog.datasets import ImageShape
from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.config.loss_mixture import looks_inside, mixture, uses_temperature
from kdrun.config.schema import ChainConfig, Config
from kdrun.config.unused_settings import idle_lines
from kdrun.loggers.console import clock
from kdrun.loggers.tables import add_columns, console, count, plain_table, times
from kdrun.plan.assistants import ChainSizes, chain_steps, geometric_sizes, rank_chains
from kdrun.plan.build import build_plan, with_seed
from kdrun.plan.stage import Stage
from kdrun.plan.warnings import plan_warnings
from kdrun.runs.plan_sizes import chain_sizes
from kdrun.runs.prepare import check_layers, make_context
from kdrun.runs.preview.estimates import Speed, disk_bytes, training_bytes, tried
from kdrun.runs.preview.layers import plan_title, shape_of
from kdrun.runs.preview.shallow_width import mimicry_lines
from kdrun.signals import stop_requests
from kdrun.training.stage_model import count_sizes


def show_plan(config: Config, probe: bool = False, overrides: Sequence[str] = ()) -> None:
    """Print the stages in training order, with estimates of their cost.

    Args:
        overrides: overrides of the command line.
        probe: whether to load the data and time every stage for two seconds.
    """
    shape = shape_of(config)
    one = with_seed(config, config.seeds[0]) if config.seeds else config
    chosen_from = chain_sizes(one, shape)
    stages = build_plan(one, chosen_from)
    found = [count_sizes(stage, shape) for stage in stages]
    for stage in stages:
        if looks_inside(stage.loss):
            check_layers(stage, stages[stage.teachers[0]], shape)
    seconds = probed(one, stages) if probe else None
    out = console()
    out.print(stages_table(config, shape, stages, found, seconds))
    out.print(family_tree(stages, [parameters for parameters, _ in found]))
    if chosen_from is not None:
        out.print(ranking(chosen_from, config.chain))
        out.print(ideal_line(chosen_from, config.chain.ratio), soft_wrap=True)
    warnings = plan_warnings(stages, [parameters for parameters, _ in found], shape)
    for line in [*idle_lines(config, overrides), *warnings]:
        out.print(line, style="yellow", soft_wrap=True)
    for line in [*aims(stages), *mimicry_lines(stages, shape)]:
        out.print(line, soft_wrap=True)
    out.print(totals_line(config, stages, found, seconds), soft_wrap=True)


def stages_table(
    config: Config,
    shape: ImageShape,
    stages: Sequence[Stage],
    found: Sequence[tuple[int, int]],
    seconds: Sequence[float] | None,
) -> Table:
    """Return the table of stages: size, epochs, memory and training time."""
    seeds = f", each for seeds {', '.join(map(str, config.seeds))}" if config.seeds else ""
    recipe = "" if config.recipe == "none" else f", recipe {config.recipe}"
    table = plain_table(plan_title(config, shape) + recipe + seeds)
    table.add_column("stage", no_wrap=True)
    timed = ["time"] if seconds else []
    add_columns(table, "params", "MACs", "smaller", "epochs", "memory", *timed)
    for position, stage in enumerate(stages):
        parameters, macs = found[position]
        teachers = [found[i][0] for i in stage.teachers]
        memory = training_bytes(stage, shape, parameters, teachers)
        table.add_row(
            stage.title,
            count(parameters),
            count(macs),
            f"{teachers[0] / parameters:.3g}x" if teachers else "",
            "given" if stage.pretrained else str(stage.train.epochs),
            "" if stage.pretrained else f"{count(memory)}B",
            *([clock(seconds[position])] if seconds else []),
        )
    return table


def family_tree(stages: Sequence[Stage], parameters: Sequence[int]) -> Tree:
    """Return the tree of teachers and students with size ratios; label-trained models on top."""
    tree = Tree("labels")
    nodes: list[Tree] = []
    for position, stage in enumerate(stages):
        above = nodes[stage.teachers[0]] if stage.teachers else tree
        ratio = parameters[stage.teachers[0]] / parameters[position] if stage.teachers else 1
        smaller = f"  {times(ratio)}" if stage.teachers else ""
        others = f" (with {len(stage.teachers) - 1} more)" if len(stage.teachers) > 1 else ""
        nodes.append(above.add(f"{stage.title}  {count(parameters[position])}{smaller}{others}"))
    return tree


def ranking(chosen_from: ChainSizes, chain: ChainConfig) -> Table:
    """Return the table of the cheapest chains with their costs."""
    teacher, student = chosen_from.teacher, chosen_from.student
    table = plain_table("the cheapest chains, and no assistant")
    table.add_column("assistants")
    add_columns(table, "ratios of the steps", "cost")
    candidates, ratio = chosen_from.candidates, chain.ratio
    best = rank_chains(teacher, student, candidates, ratio, chain.max_assistants, count=6)
    direct = rank_chains(teacher, student, {}, ratio)
    for number, ranked in enumerate(dict.fromkeys([*best, *direct])):
        table.add_row(
            (", ".join(ranked.assistants) or "none") + (" (chosen)" if number == 0 else ""),
            " ".join(f"{ratio:.3g}x" for ratio in ranked.ratios),
            f"{ranked.cost:.4g}",
        )
    return table


def ideal_line(chosen_from: ChainSizes, ratio: float) -> str:
    """Return a line with the sizes of a chain of equal steps."""
    teacher, student = chosen_from.teacher, chosen_from.student
    steps = chain_steps(teacher, student, ratio)
    sizes = ", ".join(count(size) for size in geometric_sizes(teacher, student, steps))
    return f"{steps} ideal steps of at most {ratio:g}x would be {sizes}"


def aims(stages: Sequence[Stage]) -> list[str]:
    """Return a line per objective, with the stages that minimise the objective."""
    names: dict[str, list[str]] = {}
    for stage in stages:
        names.setdefault(aim(stage), []).append(stage.title)
    return [f"{', '.join(titles)}: {text}" for text, titles in names.items()]


def aim(stage: Stage) -> str:
    """Return the objective, such as `0.9 kl(T=4) + 0.1 cross-entropy, T constant`."""
    if stage.pretrained:
        return f"given weights {stage.model.weights}"
    text = mixture(stage.loss, "auto" if stage.undecided else None)
    if stage.teachers and uses_temperature(stage.loss):
        text += f", T {temperature_text(stage)}"
    return text


def temperature_text(stage: Stage) -> str:
    """Return the schedule of T, such as `constant` or `from 4 to 1, linear`, or its method."""
    temperature = stage.temperature
    if stage.undecided:
        return f"chosen by method={temperature.method} after the teacher is trained"
    row = TEMPERATURE_SCHEDULES[temperature.schedule]
    ends = [f"from {stage.loss.T:g} to {temperature.end:g}"] if "end" in row.reads else []
    own = [f"{key}={getattr(temperature, key)}" for key in row.options]
    return ", ".join([*ends, temperature.schedule, *own])


def totals_line(
    config: Config,
    stages: Sequence[Stage],
    found: Sequence[tuple[int, int]],
    seconds: Sequence[float] | None,
) -> str:
    """Return a line with the total cost of all stages and seeds."""
    seeds = max(1, len(config.seeds))
    sized = zip(stages, found, strict=True)
    disk = seeds * sum(disk_bytes(stage, parameters) for stage, (parameters, _) in sized)
    total = f"{seeds * len(stages)} stages, at most {count(disk)}B on disk; memory in float32"
    if seconds is None:
        return f"{total}; --probe estimates the time"
    return f"{total}; about {clock(seeds * sum(seconds))} if no stage is in the store"


def probed(config: Config, stages: Sequence[Stage]) -> list[float]:
    """Return the seconds of every stage; stages that differ only in length share a trial."""
    with stop_requests() as stop:
        context = make_context(config, stop, identified=False)  # nothing is stored
    speeds: dict[str, Speed] = {}
    seconds = []
    for stage in stages:
        teachers = [stages[i] for i in stage.teachers]
        updates = replace(stage.train, epochs=1, seed=0)
        trial = f"{stage.model} {stage.loss} {updates} {[one.model for one in teachers]}"
        if trial not in speeds:
            speeds[trial] = tried(stage, teachers, context)
        seconds.append(speeds[trial].seconds(stage, context))
    return seconds
