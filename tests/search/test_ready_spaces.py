"""Every search space that we ship: it is planned, sampled and launched as its header says; the small ones run."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mixwright.config import SweepConfig, load_config
from mixwright.data.prepare import prepare, tokenize
from mixwright.models import load_tokenizer
from mixwright.scenarios import load_scenario
from mixwright.search import plan
from mixwright.search.checks import check_space
from mixwright.search.searcher import TrialSearch
from mixwright.search.space import Space, distributions
from mixwright.search.study import StudyFile
from mixwright.store.runs import read_result, read_trials
from mixwright.store.studies import StudyPlace

REPOSITORY = Path(__file__).parents[2]
SPACES = {path.stem: path for path in sorted((REPOSITORY / "search_spaces").glob("*.yaml"))}
TRAINING = [name for name in SPACES if name != "decoding"]
SMALL = ["data_quality", "leave_one_out", "messages", "method", "task_weights"]
"""Those whose trials differ in a way that no other test runs."""
EMBEDDED_ROWS = "data.sources=[{name: embedded, format: embedded, rows: 200}]"
"""In the place of a hub's rows, of files, and of the thousands that a space would take."""
DRAWS = 200


def local(name: str, model: Path, *more: str) -> list[str]:
    """What makes any of them small enough to look at on any machine."""
    rows = [] if name == "messages" else [EMBEDDED_ROWS]
    size = [] if name == "decoding" else ["mixture.size=120"]
    return [f"model.name={model}", *rows, *size, "model.max_length=1024", *more]


def loaded(name: str, model: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> SweepConfig:
    monkeypatch.chdir(REPOSITORY)
    return load_config(SPACES[name], local(name, model, *more))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", TRAINING)
def test_a_space_is_planned_on_whatever_model_folder_it_is_given(name: str, tiny_model: Path, monkeypatch) -> None:
    config = loaded(name, tiny_model, monkeypatch, "cluster.tokens_per_second=1000", "train.precision=fp32")
    scenario = load_scenario(config.scenario).with_unseen(config.unseen)
    check_space(config, scenario)
    made = plan.make(config, scenario)
    assert (made.trials, made.confirming) == (config.search.trials, config.search.confirm.trials)
    assert made.parameters < 200_000
    assert made.steps > 0
    assert 0 < made.tokens[0] <= made.tokens[1]
    assert made.hours > 0
    assert "given: 1,000 tokens/s" in plan.describe(made)


@pytest.mark.parametrize("name", [name for name in SPACES if "parameters" in SPACES[name].read_text()])
def test_many_draws_of_a_space_are_valid_and_so_are_its_samplers_own(name: str, tiny_model: Path, monkeypatch, tmp_path) -> None:
    config = loaded(name, tiny_model, monkeypatch)
    space, rng = Space(config), random.Random(0)
    drawn = [space.values(space.random_draws(rng)) for _ in range(DRAWS)]
    assert all(config.with_values(values) for values in drawn)
    assert len({json.dumps(values, sort_keys=True) for values in drawn}) > 1
    study = StudyFile(StudyPlace(url=f"sqlite:///{tmp_path}/study.db"), ("seen", "unseen", "retention"), distributions(config))
    search = TrialSearch(config, ("seen", "unseen", "retention"), study, evaluate_base=False)
    first = [search.suggest(f"r{number}") for number in range(min(4, config.search.trials))]
    for given, wanted in zip(first, config.search.first, strict=False):
        flat = {key: value for key, value in wanted.items() if key != "mixture.task_weights"}
        assert {key: given[key] for key in flat} == flat
    for given in first:
        config.with_values({key: value for key, value in given.items() if "." in key})


def test_every_mixture_of_a_space_of_data_quality_fits_its_rows(tiny_model: Path, monkeypatch) -> None:
    config = loaded("data_quality", tiny_model, monkeypatch)
    data = tokenize(
        prepare(config.data, load_scenario("writing"), seed=7),
        load_tokenizer(config.model),
        load_scenario("writing"),
        config.model,
        seed=7,
    )
    mixtures = plan.corner_mixtures(config, load_scenario("writing"), data)
    assert len(mixtures) == 8
    assert {sum(mixture.counts.values()) for mixture in mixtures} == {120}
    assert {bool(mixture.noised) for mixture in mixtures} == {True, False}
    assert len({sum(mixture.distinct.values()) for mixture in mixtures}) > 1


def test_the_readme_names_every_space_in_its_table_of_questions() -> None:
    table = [line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("|")]
    named = {name for line in table for name in re.findall(r"`(\w+)`", line)}
    assert set(SPACES) <= named


def launch_lines(path: Path) -> str:
    """The commands of a header, as a shell would be given them."""
    header = re.search(r"^# Launch:(.*?)^# Needs:", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    if header is None:
        return ""
    commands: list[str] = []
    in_loop = goes_on = False
    for raw in header[1].splitlines():
        line = raw.lstrip("#").strip()
        start = re.search(r"(?:^|: )((?:python jobs/|for ).*)", line)
        if not (start or in_loop or goes_on):
            continue
        commands.append(line if in_loop or goes_on or not start else start[1])
        goes_on = line.endswith("\\")
        in_loop = (in_loop or commands[-1].startswith("for ")) and line != "done"
    return "\n".join(commands) + "\n"


@pytest.fixture
def launched(tmp_path: Path):
    """Runs shell lines with a `python` that writes down how it was called, and gives its calls."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/bash\nprintf "%q " "$@" >> {tmp_path}/calls\necho >> {tmp_path}/calls\n')
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)

    def calls(lines: str) -> list[list[str]]:
        (tmp_path / "calls").write_text("")
        path = f"{fake.parent}:{os.environ['PATH']}"
        subprocess.run(["bash", "-euc", lines], check=True, cwd=tmp_path, env={**os.environ, "PATH": path}, timeout=60)
        return [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return calls


@pytest.mark.parametrize("name", [name for name in SPACES if launch_lines(SPACES[name]).strip()])
def test_the_launch_lines_of_a_header_start_what_loads(name: str, launched, monkeypatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    names, reported = set(), set()
    for job, *arguments in launched(launch_lines(SPACES[name])):
        assert (REPOSITORY / job).exists()
        if job != "jobs/sweep.py":
            runs = arguments[: arguments.index("--out")] if "--out" in arguments else []
            reported |= {Path(one).name for one in runs if "*" not in one}
            continue
        space, *options = arguments
        sets = [value for option, value in itertools.pairwise(options) if option == "--set"]
        filled = [value.replace("YOURS", "1000") for value in sets]
        names.add(load_config(REPOSITORY / space, filled).name)
    assert names
    assert not reported or names & reported


def test_each_task_of_the_scenario_is_left_out_once_by_the_loop(launched) -> None:
    calls = [call for call in launched(launch_lines(SPACES["leave_one_out"])) if call[0] == "jobs/sweep.py"]
    configs = [load_config(REPOSITORY / call[1], [call[3], call[5]]) for call in calls]
    tasks = [task.name for task in load_scenario("writing").tasks]
    assert [config.unseen for config in configs] == [(task,) for task in tasks]
    assert len({config.name for config in configs}) == len(tasks)


def test_systems_of_the_paper_differ_in_their_rows_alone_and_together_they_are_the_third() -> None:
    both, writing, generic = (load_config(SPACES[name]) for name in ("writing_and_generic", "writing_only", "generic_only"))
    assert [config.mixture.generic_fraction for config in (writing, generic, both)] == [0.0, 1.0, 0.5]
    assert both.mixture.size == writing.mixture.size + generic.mixture.size
    for one in (writing, generic):
        assert one.model_dump(exclude={"name", "question", "mixture"}) == both.model_dump(exclude={"name", "question", "mixture"})


def test_full_and_lora_learn_the_same_rows_of_the_same_model() -> None:
    full, lora = load_config(SPACES["tuning_full"]), load_config(SPACES["tuning_lora"])
    assert (full.model.tuning, lora.model.tuning) == ("full", "lora")
    assert (full.data, full.mixture, full.evaluation) == (lora.data, lora.mixture, lora.evaluation)
    assert (full.model.name, full.search.seed) == (lora.model.name, lora.search.seed)


def test_the_rows_of_messages_are_those_of_their_generator() -> None:
    folder = REPOSITORY / "search_spaces" / "messages"
    made = subprocess.run(
        [sys.executable, "-c", "import make_rows; print(make_rows.lines(), end='')"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (folder / "rows.jsonl").read_text() == made


def test_messages_are_read_by_a_scenario_that_no_code_knows(monkeypatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = load_config(SPACES["messages"])
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    assert {task.metric for task in scenario.tasks} == {"exact_match"}
    assert scenario.unseen == ("delivery",)
    assert "delivery" not in data.train
    for task in scenario.seen:
        assert len(data.train[task]) >= config.mixture.size / len(scenario.seen)
    for task in scenario.tasks:
        assert len(data.dev[task.name]) >= config.evaluation.dev_rows
        assert len(data.test[task.name]) >= config.evaluation.test_rows


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize("name", SMALL)
def test_a_small_space_runs_to_its_report(name: str, tiny_model: Path, tmp_path: Path) -> None:
    settings = [
        *("mixture.size=48", "search.trials=3", "evaluation.dev_rows=2", "evaluation.test_rows=4", "evaluation.retention_rows=4"),
        *("evaluation.max_new_tokens=8", "evaluation.bootstrap_draws=100", "train.precision=fp32", "cluster.dashboard=false"),
        *(["search.trials=2"] if name == "leave_one_out" else []),
        f"serve.port={free_port()}",
    ]
    sets = [part for setting in local(name, tiny_model, *settings) for part in ("--set", setting)]
    job = [sys.executable, "jobs/sweep.py", str(SPACES[name]), "--run-dir", str(tmp_path / "run"), *sets]
    done = subprocess.run(job, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    record, trials = read_result(tmp_path / "run"), read_trials(tmp_path / "run")
    assert record is not None
    assert (tmp_path / "run" / "report" / "index.html").exists()
    assert {score.task for score in record.systems[0].scores} == {task.name for task in load_scenario_of(name).tasks}
    assert all(trial.status != "failed" for trial in trials), [trial.cause for trial in trials]
    if name == "data_quality":
        by_number = sorted(trials, key=lambda trial: trial.trial_id)  # lanes end them in an order of their own
        assert [sum(trial.noised.values()) for trial in by_number][:2] == [0, pytest.approx(19, abs=3)]


def load_scenario_of(name: str):
    return load_scenario(load_config(SPACES[name]).scenario)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
