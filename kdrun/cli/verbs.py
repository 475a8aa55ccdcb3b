"""Table of the commands: usage, explanation, code."""

from dataclasses import dataclass

from kdrun.catalog.rows import load_code
from kdrun.config.flags import CONFIG, MODES, SHOW


@dataclass(frozen=True)
class Verb:
    """A command of `kdrun`.

    Attributes:
        code: `package.module:function`, imported on call; takes the words after the command.
        uses: explanation by usage.
        flags: options that it reads.
    """

    code: str
    uses: dict[str, str]
    flags: tuple[str, ...] = ()

    def __call__(self, words: list[str]) -> None:
        """Import and call the code."""
        load_code(self.code)(words)


VERBS: dict[str, Verb] = {
    "run": Verb(
        "kdrun.cli.commands.run:run",
        {
            "kdrun [run] [key=value ...]": "train a teacher, distil it into a student, report",
            "kdrun -m key=v1,v2 [...]": "a sweep; teachers are trained once and shared",
        },
        (*MODES, *SHOW[1:], *CONFIG, "--hydra-help"),
    ),
    "resume": Verb(
        "kdrun.cli.commands.resume:resume",
        {
            "kdrun resume DIR [key=value ...]": "continue a run or a sweep; finished work is kept",
            "kdrun resume SWEEP -m hydra/launcher=NAME": "its jobs on a launcher of Hydra's",
        },
        ("--config-dir", "--multirun"),
    ),
    "verify": Verb(
        "kdrun.cli.commands.verify:verify",
        {"kdrun verify DIR": "check every file of a run, sweep, stage or store"},
    ),
    "analyze": Verb(
        "kdrun.cli.commands.analyze:analyze",
        {"kdrun analyze DIR": "measure a finished run: layers, attention, fine grids of T too"},
    ),
    "report": Verb(
        "kdrun.cli.commands.report:report",
        {
            "kdrun report DIR... [--format F]": "the page of a run, or a comparison of several, "
            "of a sweep's jobs, or of all below DIR; F is one of table, md, csv, json, latex, html"
        },
        ("--format",),
    ),
    "export": Verb(
        "kdrun.cli.commands.export:export",
        {"kdrun export DIR [--format F]": "export the student, checked: safetensors,pt2,onnx"},
        ("--format",),
    ),
    "plan": Verb(
        "kdrun.cli.commands.plan:plan",
        {"kdrun plan [--probe] [...]": "show the stages and their cost; write nothing"},
        ("--probe", *SHOW, *CONFIG),
    ),
    "layers": Verb(
        "kdrun.cli.commands.layers:layers",
        {"kdrun layers MODEL [...]": "show module paths and shapes of a model"},
        (*SHOW, *CONFIG),
    ),
}

OTHER_VERBS = {
    "train": "run",
    "fit": "run",
    "distill": "run",
    "distil": "run",
    "start": "run",
    "continue": "resume",
    "restart": "resume",
    "compare": "report",
    "results": "report",
    "evaluate": "analyze",
    "eval": "analyze",
    "test": "analyze",
    "measure": "analyze",
    "check": "verify",
    "show": "plan",
    "sweep": "run -m",
    "multirun": "run -m",
    "convert": "export",
    "save": "export",
    "models": "layers",
}
"""Commands of the same purpose in other programs."""
