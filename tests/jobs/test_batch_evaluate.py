"""The job that asks endpoints: what it writes, what it says of a mistake, and that a kill costs no answer."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app
from tests.evaluate.openai_server import KEY, MODEL, Fault, openai_server
from tests.serve.running import running

from mixwright.errors import ConfigError, MixwrightError, ServeError
from mixwright.evaluate.export import ExportedRow
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.records import Prediction, read_jsonl
from mixwright.scenarios import load_scenario

ROOT = Path(__file__).parent.parent.parent
JOB = ROOT / "jobs" / "batch_evaluate.py"
TASKS = ("fluency", "clarity", "paraphrasing")
SPACE = """
name: small
question: Does the job work?
data:
  sources:
    - {name: embedded, format: embedded, rows: 40}
mixture: {generic_fraction: 0.5, size: 20}
evaluation: {dev_rows: 4, test_rows: 4, retention_rows: 3, max_new_tokens: 60, bootstrap_draws: 100}
"""


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("batch_evaluate", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server():
    with openai_server() as running_server:
        yield running_server


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return path


@pytest.fixture
def evaluate(job, server, space, tmp_path, monkeypatch):
    """Runs the job on the space with the fake's model; keywords are options, underscores dashes, None drops one."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def run(*flags, **changes):
        options = {
            "space": space,
            "split": "dev",
            "out": tmp_path / "scores",
            "tasks": ",".join(TASKS),
            "openai_url": server.url,
            "openai_model": MODEL,
            **changes,
        }
        named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
        monkeypatch.setattr(sys, "argv", ["batch_evaluate.py", *named, *flags])
        assert job.main() == 0
        return tmp_path / "scores"

    return run


def nothing_lost(rows, adapter):
    return ResponseLoss(nll=2.0 - (adapter == "formal"), tokens=1)


@pytest.fixture(scope="module")
def our_url():
    answerer = Answerer(engine=EchoEngine(["formal"]), tokenizer=CharacterTokenizer(), context_length=5000, score=nothing_lost)
    front = Front(model="embedded", adapters=("formal",), scenario=load_scenario("writing"))
    with running(make_app(LocalBackend(answerer), front)) as url:
        yield url


def test_an_outside_model_is_a_row_zero_shot_and_few_shot(evaluate, server, tmp_path, capsys):
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"{MODEL}: {{input: 1000, output: 1000}}")
    folder = evaluate(shots="0,2", prices=prices)
    scores = json.loads((folder / "scores-dev.json").read_text())
    names = ["copy", "human", MODEL, f"{MODEL}-2shot"]
    assert [system["name"] for system in scores["systems"]] == names
    _, _, plain, shown = scores["systems"]
    assert plain["usage"] == {"requests": 12, "prompt_tokens": 120, "completion_tokens": 48, "usd": pytest.approx(0.168)}
    assert plain["decoding"] == {"max_tokens": 60, "temperature": 0}
    assert shown["decoding"]["shots"] == {"fluency": 2, "clarity": 2, "paraphrasing": 0}
    assert Counter(len(request["messages"]) for request in server.requests) == {1: 12 + 4, 5: 8}
    assert len(read_jsonl(folder / "predictions" / f"dev-{MODEL}-2shot.jsonl", Prediction)) == 12
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["task", "metric", "n", *names]
    assert f"{MODEL}: 12 requests, 120 prompt and 48 completion tokens, 0.1680 USD" in printed


def test_ours_and_an_outside_model_stand_in_one_table(evaluate, our_url, capsys):
    folder = evaluate("--adapter=base", "--adapter=formal", url=our_url)
    scores = json.loads((folder / "scores-dev.json").read_text())
    assert [system["name"] for system in scores["systems"]] == ["copy", "human", "base", "formal", MODEL]
    assert {score["n"] for system in scores["systems"] for score in system["scores"]} == {4}
    outside = scores["systems"][-1]
    assert {item["task"] for item in outside["differences"]} == {*TASKS, "mean of seen", "mean of unseen"}
    assert outside["retention"] is None


def test_the_last_table_has_the_means_of_seen_and_unseen_tasks(evaluate, our_url, capsys):
    folder = evaluate("--adapter=base", "--adapter=formal", url=our_url, openai_url=None, openai_model=None)
    head, seen, unseen, path = capsys.readouterr().out.splitlines()[-4:]
    assert head.split() == ["mean", "over", "tasks", "tasks", "rows", "copy", "human", "base", "formal"]
    assert path == str(folder / "scores-dev.json")
    formal = json.loads((folder / "scores-dev.json").read_text())["systems"][-1]
    values = {score["task"]: score["value"] for score in formal["scores"]}
    differences = {item["task"]: item for item in formal["differences"]}
    for line, tasks, kind in ((seen, TASKS[:2], "seen"), (unseen, TASKS[2:], "unseen")):
        assert line.split()[:3] == [kind, str(len(tasks)), str(4 * len(tasks))]
        mean, difference = sum(values[task] for task in tasks) / len(tasks), differences[f"mean of {kind}"]
        assert line.endswith(f"{mean:.1f} ({difference['value']:+.1f} [{difference['low']:+.1f}, {difference['high']:+.1f}])")


def test_our_own_endpoint_asked_as_an_outside_one_gives_the_same_answers(evaluate, our_url):
    folder = evaluate("--adapter=formal", url=our_url, openai_url=f"{our_url}/v1", openai_model="base:formal")
    outputs = [
        [item.output for item in read_jsonl(folder / "predictions" / f"dev-{name}.jsonl", Prediction)]
        for name in ("formal", "base_formal")
    ]
    assert outputs[0] == outputs[1]
    formal, outside = json.loads((folder / "scores-dev.json").read_text())["systems"][2:]
    assert [score["value"] for score in formal["scores"]] == [score["value"] for score in outside["scores"]]
    texts = [item.text for item in read_jsonl(folder / "predictions" / "dev-formal.jsonl", Prediction)]
    assert outside["usage"].get("truncated", 0) == sum(len(f"formal: {text}") >= 60 for text in texts)


def test_an_outside_model_that_fails_costs_ours_nothing(evaluate, our_url, server, tmp_path):
    server.fault_for = lambda body: Fault(status=400)
    with pytest.raises(ServeError, match="400"):
        evaluate("--adapter=base", url=our_url)
    assert [path.name for path in (tmp_path / "scores" / "predictions").iterdir()] == ["dev-copy.jsonl"]


def test_the_same_command_again_asks_nothing(evaluate, server):
    first = (evaluate(shots="2") / "scores-dev.json").read_text()
    asked = len(server.requests)
    assert (evaluate(shots="2") / "scores-dev.json").read_text() == first
    assert len(server.requests) == asked


def test_parts_of_the_request_can_be_set_and_left_out(evaluate, server):
    evaluate("--openai-set=max_tokens=null", "--openai-set=max_completion_tokens=99", "--openai-set=temperature=1.5")
    options = {key: value for key, value in server.requests[0].items() if key not in ("model", "messages")}
    assert options == {"max_completion_tokens": 99, "temperature": 1.5}


def test_the_questions_are_written_for_other_evaluators_and_nothing_is_asked(evaluate, server):
    folder = evaluate("--rows-only", openai_url=None, openai_model=None)
    rows = read_jsonl(folder / "rows-dev.jsonl", ExportedRow)
    assert Counter(row.task for row in rows) == dict.fromkeys(TASKS, 4)
    assert {row.message for row in rows} == {f"{row.instruction}\n\n{row.text}" for row in rows}
    assert {(row.metric, row.max_new_tokens) for row in rows} == {("gleu", 60), ("sari", 60)}
    assert server.requests == []
    evaluate()
    assert set(server.questions) == {row.message for row in rows}


def test_a_key_that_is_not_set_is_told_before_anything_else(evaluate, server, monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="the environment variable OPENAI_API_KEY is not set"):
        evaluate()
    assert not (tmp_path / "scores").exists()
    monkeypatch.setenv("OTHER_KEY", KEY)
    evaluate(openai_key_env="OTHER_KEY")
    assert set(server.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shots": "two"}, "--shots: must be whole numbers with commas between them, got 'two'"),
        ({"shots": "5000"}, "--shots: task 'fluency' has"),
        ({"requests_per_minute": "0"}, "--requests-per-minute: must be above 0"),
        ({"openai_timeout": "0"}, "--openai-timeout: must be above 0 seconds, got 0"),
        ({"openai_set": "temperature"}, "--openai-set: must be KEY=VALUE with a value that JSON has too, got 'temperature'"),
        ({"openai_set": "temperature=2026-01-01"}, "--openai-set: must be KEY=VALUE with a value that JSON has too"),
        ({"openai_name": "copy"}, "the row 'copy' stands in the table already"),
        ({"space": None}, "without --adapter no endpoint says which rows; name the data with --run-dir or --space"),
        ({"prices": "nowhere.yaml"}, "nowhere.yaml: no such file"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_asked(evaluate, server, changes, words):
    with pytest.raises(MixwrightError) as caught:
        evaluate(**changes)
    assert words in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("given", [{"openai_model": None}, {"openai_url": None}, {"openai_url": None, "openai_model": None}])
def test_half_an_endpoint_is_a_mistake_of_usage(evaluate, given, capsys):
    with pytest.raises(SystemExit):
        evaluate(**given)
    assert "--openai-url" in capsys.readouterr().err


def start(space, server, out, **environment):
    command = [sys.executable, JOB, "--space", space, "--split", "dev", "--out", out, "--tasks", ",".join(TASKS), "--rows", "30"]
    return subprocess.Popen(
        [str(part) for part in [*command, "--openai-url", server.url, "--openai-model", MODEL]],
        cwd=ROOT,
        env=os.environ | {"OPENAI_API_KEY": KEY} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_after_a_kill_only_what_is_missing_is_asked(space, server, tmp_path):
    out = tmp_path / "scores"
    answers = out / "answers" / f"dev-{MODEL}.jsonl"
    server.fault_for = lambda body: Fault(silent_s=0.05)
    with start(space, server, out) as process:
        while not answers.exists() or answers.read_bytes().count(b"\n") < 20:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    with answers.open("a") as file:
        file.write('{"key": "torn')
    asked_before = Counter(server.questions)
    kept = answers.read_bytes().count(b"\n")
    assert 20 <= kept < 90
    server.fault_for = lambda body: None
    with start(space, server, out) as process:
        printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    again = Counter(server.questions) - asked_before
    assert sum(again.values()) == 90 - kept
    assert f"{MODEL}: {kept} of 90 answers are in" in said
    assert "dropped half a line at its end" in said
    assert len(read_jsonl(out / "predictions" / f"dev-{MODEL}.jsonl", Prediction)) == 90
    assert KEY not in printed + said
    assert [path for path in out.rglob("*") if path.is_file() and KEY in path.read_text()] == []


def test_a_wrong_key_is_one_line_and_exit_code_two(space, server, tmp_path):
    with start(space, server, tmp_path / "scores", OPENAI_API_KEY="sk-not-this-one") as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert [line for line in said.splitlines() if line.startswith("error: ")] == [said.splitlines()[-1]]
    assert "refuses the key" in said
    assert len(server.requests) == 1
    assert "sk-not-this-one" not in said
    assert "Traceback" not in said
