"""One point of a search space as a plain fine-tune, without Ray: data, training, dev evaluation, adapter.

torchrun --nproc-per-node 2 jobs/fine_tune.py SPACE.yaml [--run-dir DIR] [--set key=value ...] [--point key=value ...] [--resume]
python jobs/fine_tune.py SPACE.yaml

Each process is one worker, on its own GPU where the machine has them, else on its share of the processors. The loop is that of a
sweep's lanes and gives the same numbers; here nothing is searched, stopped early or started again by itself. What is wrong is said
in one line and ends with code 2; torchrun adds a trace of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from mixwright import models
from mixwright.config import SweepConfig, load_config
from mixwright.data.prepare import PreparedData, prepare, tokenize
from mixwright.errors import USER_ERROR_EXIT_CODE, ConfigError, MixwrightError, RunError, did_you_mean, run_job
from mixwright.records import RungRecord, TrialRecord, from_json
from mixwright.scenarios import Scenario, load_scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.settings import read_value
from mixwright.store import remote
from mixwright.store.runs import DATA_FILE, RunFolder, check_run, open_run
from mixwright.train import process, workers
from mixwright.train.choices import choose, rough_tokens
from mixwright.train.reporter import BASE_FILE, FolderReporter, learned_rows, rung_line, trial_folder
from mixwright.train.resident import Assignment, Evaluation, Resident, Setup, drop_checkpoint

logger = logging.getLogger("mixwright.fine_tune")

POINT = "trial_0000"
ADAPTER = "best"
"""The names that they have in the folder of a sweep of one trial, so that the endpoint and the report find them."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune one point of a search space, without Ray.")
    parser.add_argument("space", type=Path, metavar="SPACE.yaml", help="the search space; see search_spaces/")
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the run, or its address: s3://... (default: runs/NAME-point)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a dotted key; may be repeated")
    parser.add_argument(
        "--point", action="append", default=[], metavar="KEY=VALUE", help="the value of a searched key; may be repeated"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of a run that was cut off")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if not process.is_first():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        config = at_point(load_config(arguments.space, arguments.set), arguments.point)
        with process.group() as device:
            fine_tune(config, device, arguments.run_dir, resume=arguments.resume)
    except MixwrightError:
        if process.is_first():
            raise
        return USER_ERROR_EXIT_CODE  # all workers meet the same error; one line is enough
    return 0


def at_point(config: SweepConfig, values: Sequence[str]) -> SweepConfig:
    """The configuration of one fine-tune: nothing searched, `values` in the place of what stands in the file.

    Raises:
        ConfigError: a value that is not key=value, or a key that the space does not search.
    """
    point = dict(read_value("--point", text) for text in values)
    searched = config.search.parameters
    for key in point:
        if key not in searched:
            known = f"; it searches {', '.join(searched)}" if searched else ", which searches none"
            raise ConfigError(f"--point {key}: this space does not search it{did_you_mean(key, searched) or known}; use --set")
    if kept := sorted(set(searched) - set(point)):
        logger.info("searched in the space, here as the file has it: %s", ", ".join(kept))
    return config.with_values(point, check_search=False)


def fine_tune(config: SweepConfig, device: str, run_dir: str | Path | None, *, resume: bool) -> None:
    """All of it, on every worker; a run that is complete does nothing and says so."""
    config = process.as_started(config, device)
    path = process.on_every(lambda: remote.run_folder(run_dir or Path("runs") / f"{config.name}-point"))
    run = _open(path, config, resume=resume)
    if run.trials():
        logger.info("%s holds this run, complete; nothing to do", remote.shown(path))
        return
    scenario = load_scenario(config.scenario).with_unseen(config.unseen)
    data = _prepared(config, scenario)
    process.on_first(lambda: run.write_json(DATA_FILE, data.report))
    share = 1.0 / process.workers_on_this_machine()
    choices = process.of_first(choose(config, device, tokens=rough_tokens(config, data) / workers.world_size(), share=share))
    logger.info("%s", choices.line)
    setup = Setup.settled(config, choices, scenario=scenario, data=data, run_dir=run.path, make_evaluator=DevEvaluator)
    reporter = FolderReporter(setup.run_dir)
    resident = Resident(setup, device, reporter)
    base = _base(resident)
    rungs = []
    for number in range(len(config.search.scheduler.rungs)):
        rungs.append(resident.run(Assignment(trial_id=POINT, config=setup.config, rung=number)))
        reporter.rung(POINT, rungs[-1])
    process.on_first(lambda: _keep(run, config, rungs))
    logger.info("%s", _result(base, rungs[-1], run))


def _open(path: Path, config: SweepConfig, *, resume: bool) -> RunFolder:
    """The folder, opened by the first worker once all have found it fit."""
    check_run(path, config, resume=resume)
    if not resume and trial_folder(path, POINT).exists() and not RunFolder(path=path).trials():
        raise RunError(f"{remote.shown(path)}: holds an unfinished run; add --resume to go on with it, or give another --run-dir")
    workers.barrier()  # the checks read what is written next
    process.on_first(lambda: open_run(path, config, resume=resume))
    return RunFolder(path=path)


def _prepared(config: SweepConfig, scenario: Scenario) -> PreparedData:
    data = prepare(config.data, scenario, seed=config.search.seed)
    if config.model.tuning == "none":
        models.saved_adapter(config.model)
        return data
    tokenizer, seed = models.load_tokenizer(config.model), config.search.seed
    return tokenize(data, tokenizer, scenario, config.model, seed=seed, cache=models.tokens_cache())


def _base(resident: Resident) -> Evaluation:
    """The base model's dev evaluation, kept in the run folder as a sweep keeps it."""
    path = resident.setup.run_dir / BASE_FILE
    if path.exists():
        return from_json(Evaluation, json.loads(path.read_text(encoding="utf-8")))
    base = resident.evaluate_base()
    process.on_first(lambda: resident.setup.keep_base(base))
    return base


def _keep(run: RunFolder, config: SweepConfig, rungs: Sequence[RungRecord]) -> None:
    """The adapter under its name, then the record, which says that the run is complete; the checkpoint goes."""
    if config.model.tuning != "none":
        run.keep_adapter(trial_folder(run.path, POINT) / "adapter", ADAPTER)
    run.append_trial(
        TrialRecord(
            trial_id=POINT,
            number=0,
            status="complete",
            params={},
            rungs=tuple(rungs),
            **learned_rows(trial_folder(run.path, POINT)),
            adapter=config.model.adapter or f"adapters/{ADAPTER}",
            decoding=config.evaluation.decoding.record(config.evaluation.max_new_tokens),
        )
    )
    drop_checkpoint(run.path, POINT)


def _result(base: Evaluation, tuned: RungRecord, run: RunFolder) -> str:
    start = RungRecord(
        step=0, examples=0, tokens=0, train_loss=None, objectives=base.objectives, task_scores=base.task_scores, seconds=0.0
    )
    return "\n".join(["on dev rows:", rung_line("base", start), rung_line("tuned", tuned), f"run folder: {remote.shown(run.path)}"])


if __name__ == "__main__":
    run_job(main, resumes=True)
