"""The whole path for one search space: data, search, endpoint, evaluation over HTTP, report.

python jobs/sweep.py search_spaces/demo.yaml [--run-dir DIR] [--set key=value ...] [--plan] [--resume | --extend]
ray job submit --runtime-env runtime_env.yaml -- python jobs/sweep.py search_spaces/demo.yaml
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `serve`, which is no part of the installed package

from mixwright import environment, models, report
from mixwright.config import EvaluationConfig, SweepConfig, load_config
from mixwright.data.prepare import PreparedData, prepare, tokenize, tokenize_too
from mixwright.errors import run_job
from mixwright.evaluate.client import EndpointClient
from mixwright.evaluate.systems import evaluate_systems, questions_of
from mixwright.records import BASE, RunRecord, SystemRecord
from mixwright.scenarios import Scenario, load_scenario
from mixwright.search import plan
from mixwright.search.checks import check_space
from mixwright.search.cluster import connected, endpoint_turn
from mixwright.search.confirm import Judge, confirm, confirmed
from mixwright.search.edit_pool import parallel_edits
from mixwright.search.finish import BEST, complete_record, searched_record
from mixwright.search.objective import choose_best
from mixwright.search.progress import Stage
from mixwright.search.reports import publish_predictions, write_report
from mixwright.search.resources import check_resources, settled_here
from mixwright.search.study import check_storage
from mixwright.search.sweep import SearchResult, search
from mixwright.store import remote
from mixwright.store.runs import DATA_FILE, RunFolder, check_run, is_finished, open_run, read_result, with_saved_workers
from mixwright.store.studies import study_place
from mixwright.train import zero

logger = logging.getLogger("mixwright.sweep")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Search a space, serve the best adapter, evaluate it over HTTP and report.")
    parser.add_argument("space", type=Path, metavar="SPACE.yaml", help="the search space; see search_spaces/")
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the run, or its address: s3://... (default: runs/NAME)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a dotted key; may be repeated")
    parser.add_argument("--plan", action="store_true", help="print trials, tokens, memory and time, and launch nothing")
    parser.add_argument(
        "--measure", action="store_true", help="with --plan: take a few steps first, so that speed and memory are real"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was cut off")
    parser.add_argument(
        "--extend", action="store_true", help="go on with a run whose search has grown: more trials, wider ranges, further choices"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    config = load_config(arguments.space, arguments.set)
    scenario = load_scenario(config.scenario).with_unseen(config.unseen)
    check_space(config, scenario)
    if arguments.plan:
        print(plan.describe(plan.make(config, scenario, measured=arguments.measure)))  # noqa: T201 - the plan is the output
        return 0
    run_dir = remote.run_folder(arguments.run_dir or Path("runs") / config.name)
    if is_finished(run_dir, config):
        logger.info("%s holds this run, complete; nothing to do", remote.shown(run_dir))
    else:
        run_all(config, scenario, run_dir, resume=arguments.resume, extend=arguments.extend)
    record = read_result(run_dir)
    assert record is not None
    path = write_report(run_dir)
    print(f"\n{report.final_table(record)}\n\nreport: {remote.shown(path)}")  # noqa: T201 - the table is the output
    return 0


def run_all(config: SweepConfig, scenario: Scenario, run_dir: Path, *, resume: bool, extend: bool = False) -> None:
    """Every stage in its order; each leaves its records in the run folder."""
    from serve.app import check_port, start, stop  # Ray Serve's import takes seconds, which a mistyped key should not

    check_port(config.serve)
    check_run(run_dir, config, resume=resume, extend=extend)
    check_storage(study_place(run_dir, config.name, config.search.storage, config.search.storage_patience_s))
    models.check_quantization(config.model)
    zero.check_can_offload(config.train)
    if config.model.tuning == "none":
        models.saved_adapter(config.model)
    tokenizer = models.load_tokenizer(config.model)
    logger.info("[1/4] data")
    started = time.monotonic()
    data = read_data(config, scenario, tokenizer)
    seconds = {"data": time.monotonic() - started}

    with connected(config.cluster):
        check_resources(config)
        config = settled_here(with_saved_workers(run_dir, config))
        run = open_run(run_dir, config, resume=resume, extend=extend)
        run.write_json(DATA_FILE, data.report)
        described = environment.describe()  # at the start: the checkout may have moved on by the end
        logger.info("[2/4] search: %d trials", config.search.trials)
        result = search(config, scenario, data, run)
        result = confirm(config, scenario, data, run, result, judge_of(config, result))
        record = keep_best(config, result, data, run, described, {**seconds, "search": result.seconds})

        with endpoint_turn():
            logger.info("[3/4] endpoint")
            started = time.monotonic()
            best = config.with_values(record.best["params"])
            url = start(config.serve, run.path, best.model, scenario, precision=result.choices.precision.precision)
            seconds = {"endpoint": time.monotonic() - started}
            try:
                logger.info(
                    "[4/4] evaluation over HTTP at %s: base and best on %d test rows a task", url, config.evaluation.test_rows
                )
                logger.info("decoding: base %s, best %s", config.evaluation.decoding.text, best.evaluation.decoding.text)
                started = time.monotonic()
                with parallel_edits():
                    systems = evaluate(url, config, scenario, data, run, best.evaluation)
                publish_predictions(run.path)
                seconds["evaluation"] = time.monotonic() - started
            finally:
                stop()
    run.write_result(complete_record(record, systems, seconds))


def read_data(config: SweepConfig, scenario: Scenario, tokenizer: Any) -> PreparedData:
    """The sweep's rows. Those that are learned are tokenised here, once for all workers, and fill every mixture of the space."""
    data = prepare(config.data, scenario, seed=config.search.seed)
    if config.model.tuning == "none":
        return data
    data = tokenize(data, tokenizer, scenario, config.model, seed=config.search.seed, cache=models.tokens_cache())
    plan.check_every_mixture_fits(config, scenario, data)
    others = {model.reading: model for model in config.every_model if model.reading != config.model.reading}
    for model in others.values():
        data = tokenize_too(
            data, models.load_tokenizer(model), scenario, model, seed=config.search.seed, cache=models.tokens_cache()
        )
        plan.check_every_mixture_fits(config, scenario, data.of_model(model))
    return data


def judge_of(config: SweepConfig, result: SearchResult) -> Judge:
    """The rule by which a trial is best."""
    return lambda trials: choose_best(trials, result.base.objectives, config.search.objective, result.base.generic_loss)


def keep_best(
    config: SweepConfig,
    result: SearchResult,
    data: PreparedData,
    run: RunFolder,
    described: dict[str, Any],
    seconds: dict[str, float],
) -> RunRecord:
    """Chooses the best trial, keeps its adapter under `adapters/best`, and writes the record as far as it goes."""
    choice = confirmed(judge_of(config, result), result.trials, result.confirmations)
    run.keep_adapter(run.path / choice.trial.adapter, BEST)
    record = searched_record(config, result, choice, data.report, described, seconds)
    run.write_result(record)
    logger.info("best: %s, %s", choice.trial.trial_id, choice.reason)
    return record


def evaluate(
    url: str, config: SweepConfig, scenario: Scenario, data: PreparedData, run: RunFolder, best: EvaluationConfig
) -> tuple[SystemRecord, ...]:
    """Asks the endpoint for base and best on the test rows, and for their NLL on held-out generic rows.

    Base answers as the configuration says, best as its trial did.
    """
    questions = questions_of(config, scenario, "test", data.test, rows=config.evaluation.test_rows, own={BEST: best})
    answered = Counter[str]()
    total = 2 * len(questions.rows)
    with (
        EndpointClient(url) as client,
        Stage("evaluating base and best", done=answered.total, total=lambda: total, unit="answer"),
    ):
        return evaluate_systems(
            client, questions, (BASE, BEST), run.path, on_progress=lambda rows: answered.update({"answers": rows})
        )


if __name__ == "__main__":
    run_job(main, resumes=True)
