"""Configuration: unknown keys, all problems at once, overrides, and every shipped search space."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mixwright.config import SweepConfig, load_config
from mixwright.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def problem(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text), overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nmixtur: {size: 3}\n", "unknown key `mixtur`; did you mean 'mixture'?"),
        ("name: x\ntrain: {learnin_rate: 3}\n", "unknown key `train.learnin_rate`; did you mean 'learning_rate'?"),
        ("name: x\nmixture: {generic_fraction: 1.5}\n", "mixture.generic_fraction: must be less than or equal to 1, got 1.5"),
        ("name: x\nmixture: {generic_fraction: .nan}\n", "mixture.generic_fraction: must be a finite number"),
        (
            "name: x\nmixture: {task_weights: {a: 0.3}}\n",
            "task weights must sum to 1, got 0.3000; rescale them or set `normalize: true`",
        ),
        ("name: x\nmixture: {budget: scenario_examples, generic_fraction: 1.0}\n", "leaves no scenario examples"),
        ("name: x\nsearch: {trials: 4}\n", "no parameters are searched, so all 4 trials would be the same; set trials: 1"),
        ("name: x\nsearch: {parameters: {lora.rnk: {choices: [4]}}}\n", "unknown key `lora.rnk`; did you mean 'rank'?"),
        ("name: x\nsearch: {parameters: {lora.rank: {choices: [4, 0]}}}\n", "lora.rank: must be greater than or equal to 1, got 0"),
        ("name: x\nsearch: {parameters: {lora.rank: {low: 8, high: 4}}}\n", "low must be below high, got 8.0 and 4.0"),
        ("name: x\nsearch: {scheduler: {rungs: [0.5, 0.9]}}\n", "rungs must rise from above 0 to 1, got [0.5, 0.9]"),
        ("name: x\ndata: {sources: [{name: a, format: m3}]}\n", "data.sources.0.format: must be"),
        ("name: x\ndata: {sources: []}\n", "data.sources: "),
        ("question: x\n", "`name` is missing"),
        ("name: x\nname: y\n", "the key 'name' stands twice"),
        ("name: [\n", "not valid YAML"),
        ("- a\n", "must be a mapping of keys to values, got list"),
        ("", "is empty"),
    ],
)
def test_a_mistake_is_named_with_its_key_rule_and_value(tmp_path: Path, text: str, expected: str) -> None:
    message = problem(tmp_path, text)
    assert expected in message
    assert "space.yaml" in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = problem(
        tmp_path,
        "name: x\nmixture: {generic_fraction: 2, task_weights: {a: 0.3}}\ntrain: {zero_stage: 4}\nmodle: {}\n",
    )
    assert message.splitlines()[0].endswith("4 problems")
    for part in ("generic_fraction", "sum to 1", "zero_stage", "modle"):
        assert part in message


def test_a_missing_file_and_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    path = tmp_path / "space.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigError, match="must be UTF-8, byte 6 is not"):
        load_config(path)


def test_overrides_are_checked_like_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "name: x\n"), ["train.zero_stage=2", "model.name=some/hub-id"])
    assert (config.train.zero_stage, config.model.name) == (2, "some/hub-id")
    assert "did you mean 'zero_stage'" in problem(tmp_path, "name: x\n", "train.zero_stag=2")
    assert "must read key=value" in problem(tmp_path, "name: x\n", "train.zero_stage")


def test_a_space_that_extends_another_takes_over_what_it_does_not_say_itself(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "name: base\nquestion: what?\nscenario: own.yaml\nmixture: {size: 300, epochs: 2}\n"
        "search: {trials: 4, seed: 5, parameters: {lora.rank: {choices: [4, 8]}, mixture.epochs: {low: 1, high: 3}}}\n"
    )
    (tmp_path / "below").mkdir()
    own = "name: own\nextends: ../base.yaml\nmixture: {size: 60}\nsearch: {trials: 2, parameters: {lora.rank: {choices: [16]}}}\n"
    config = load_config(write(tmp_path / "below", own), ["mixture.epochs=4"])
    assert (config.name, config.question, config.scenario) == ("own", "what?", str(tmp_path / "own.yaml"))
    assert (config.mixture.size, config.mixture.epochs) == (60, 4)
    assert (config.search.trials, config.search.seed, [*config.search.parameters]) == (2, 5, ["lora.rank"])


def test_a_space_that_extends_itself_or_nothing_that_is_there_is_refused(tmp_path: Path) -> None:
    assert "extends space.yaml, which extends it in turn" in problem(tmp_path, "name: x\nextends: space.yaml\n")
    assert f"{tmp_path}/other.yaml: no such file" in problem(tmp_path, "name: x\nextends: other.yaml\n")
    assert "extends must be the path of another search space, got 3" in problem(tmp_path, "name: x\nextends: 3\n")


def test_a_trial_s_values_are_validated_and_whole_floats_become_ints() -> None:
    config = SweepConfig(name="x")
    assert config.with_values({"lora.rank": 8.0}).lora.rank == 8
    with pytest.raises(ConfigError, match=r"unknown key `lora.width`"):
        config.with_values({"lora.width": 8})


def test_searched_task_weights_are_rescaled(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            "name: x\nmixture: {task_weights: {a: 0.5, b: 0.5}}\n"
            "search: {trials: 2, parameters: {mixture.task_weights.a: {low: 0.0, high: 1.0}}}\n",
        )
    )
    assert config.with_values({"mixture.task_weights.a": 0.9}).mixture.normalize


def test_paths_are_absolute_since_workers_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = load_config(write(tmp_path, "name: x\nscenario: other.yaml\nmodel: {name: models/mine}\n"))
    assert config.scenario == str(tmp_path / "other.yaml")
    assert config.model.name == str(tmp_path / "models" / "mine")


def test_the_resolved_configuration_loads_as_itself(tmp_path: Path) -> None:
    from mixwright.settings import dump_yaml

    config = load_config(Path(__file__).parent.parent / "search_spaces" / "demo.yaml")
    assert load_config(write(tmp_path, dump_yaml(config))) == config


def test_a_seed_of_training_takes_the_place_of_the_searchs_where_it_is_set() -> None:
    config = SweepConfig.model_validate({"name": "x", "search": {"seed": 7}})
    assert config.trial_seed == 7
    repeated = config.with_values({"train.seed": 3})
    assert (repeated.trial_seed, repeated.search.seed) == (3, 7)
    assert config.with_values({"train.seed": 0}).trial_seed == 0


def test_what_would_matter_must_be_a_difference(tmp_path: Path) -> None:
    assert "must be greater than 0, got 0" in problem(tmp_path, "name: x\nevaluation: {interesting_difference: 0}\n")


GPUS = "cluster: {gpus_per_worker: 1}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model: {quantization: nf4}\ncluster: {gpus_per_worker: 0}",
            "model.quantization nf4 runs on GPUs alone, and cluster.gpus_per_worker is 0; set it to 1",
        ),
        (f"model: {{quantization: nf4}}\n{GPUS}\ntrain: {{zero_stage: 3}}", "nf4: ZeRO 3 cannot shard 4-bit weights"),
        (f"model: {{quantization: nf4, tuning: full}}\n{GPUS}", "model: tuning full cannot train 4-bit weights"),
        ("model: {tuning: full}\nlora: {rank: 8}", "lora: model.tuning is full, so no adapter is made and this would be ignored"),
        (
            "model: {tuning: full}\nsearch: {trials: 2, parameters: {lora.rank: {choices: [4, 8]}}}",
            "search.parameters.lora.rank: model.tuning is full, so no adapter is made; remove it, or set tuning lora",
        ),
        (
            "search: {trials: 2, parameters: {model.quantization: {choices: [none, nf4]}}}",
            "model.quantization: all trials of a sweep share it",
        ),
        (
            "search: {trials: 2, parameters: {model.name: {choices: [a/b, c/d]}}}",
            "search.parameters.model.name: all is held against model.name, which is none of the choices; set model.name",
        ),
        (
            "search: {trials: 2, parameters: {model.template: {choices: [alpaca, a.jinja]}}}",
            "search.parameters.model.template: all is held against model.template, which is none of the choices",
        ),
        ("model: {template: chatml}", "model.template: must be own, alpaca or the path of a file *.jinja, got 'chatml'"),
        (
            "search: {trials: 2, parameters: {model.template: {choices: [own, chatml]}}}",
            "must be own, alpaca or the path of a file *.jinja, got 'chatml'",
        ),
        (
            "model: {name: a/b, revision: v1}\nsearch: {trials: 2, parameters: {model.name: {choices: [a/b, c/d]}}}",
            "search.parameters.model.name: model.revision is one model's; remove it, or give folders",
        ),
        (
            "search: {trials: 2, parameters: {model.tuning: {choices: [lora, none]}}}",
            "search.parameters.model.tuning: trials are trained by lora or full, got 'none'; remove it",
        ),
        ("search: {trials: 2, parameters: {model.tuning: {low: 1, high: 2}}}", "search.parameters.model.tuning: give `choices`"),
        (
            "search: {trials: 2, parameters: {model.tuning: {choices: [lora, full]}, lora.rank: {low: 1, high: 4}}}",
            "search.parameters.lora.rank: is of adapters alone, and model.tuning is searched; give it `when: {model.tuning: lora}`",
        ),
        (
            "model: {quantization: nf4}\ncluster: {gpus_per_worker: 1}\n"
            "search: {trials: 2, parameters: {model.tuning: {choices: [lora, full]}}}",
            "tuning full cannot train 4-bit weights",
        ),
        (
            "lora: {use_dora: true}\ntrain: {zero_stage: 3}",
            "lora.use_dora: DoRA measures whole weights of the base, which ZeRO 3 shards",
        ),
        ("lora: {rank: 513}", "lora.rank: must be less than or equal to 512, got 513"),
        ("train: {offload_optimizer: cpu}", "train: offload_optimizer cpu needs zero_stage 1, 2 or 3, got 0"),
        ("train: {offload_param: cpu, zero_stage: 2}", "train: offload_param cpu needs zero_stage 3, got 2"),
        ("train: {offload_optimizer: nvme, zero_stage: 2, nvme_path: /x}", "offload_optimizer nvme needs zero_stage 3, got 2"),
        ("train: {offload_optimizer: nvme, zero_stage: 3}", "train: offloading to nvme needs `nvme_path`"),
        ("train: {nvme_path: /x}", "train: `nvme_path` is read where something is offloaded to nvme, and nothing is; remove it"),
    ],
)
def test_a_method_that_cannot_run_or_a_setting_that_it_ignores_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"name: x\n{text}\n")


def test_method_and_model_are_searched_and_the_file_s_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    parameters = {
        "model.tuning": {"choices": ["full", "lora"]},
        "model.name": {"choices": ["./large", "./small"]},
        "model.template": {"choices": ["own", "short.jinja"]},
        "lora.use_rslora": {"choices": [True, False], "when": {"model.tuning": "lora"}},
        "lora.alpha": {"low": 4, "high": 32, "when": {"lora.use_rslora": True}},
    }
    first = [{"model.tuning": "full", "model.name": "./large", "model.template": "short.jinja"}]
    text = yaml.safe_dump(
        {
            "name": "t",
            "model": {"name": "./small"},
            "lora": {"rank": 8},
            "search": {"trials": 4, "parameters": parameters, "first": first},
        }
    )
    config = load_config(write(tmp_path, text))
    small, large = str(tmp_path / "small"), str(tmp_path / "large")
    template = str(Path("short.jinja").resolve())
    models = [(*model.reading, model.tuning) for model in config.every_model]
    tunings = ("lora", "full")
    assert models == [(name, asked, tuning) for name in (small, large) for asked in ("own", template) for tuning in tunings]
    values = {"model.tuning": "full", "model.name": large, "model.template": template}
    assert config.search.first == (values,)
    trial = config.with_values(values)
    assert (*trial.model.reading, trial.model.tuning) == (large, template, "full")


def test_kinds_of_adapters_can_be_searched_beside_one_another(tmp_path: Path) -> None:
    text = (
        "name: x\nsearch: {trials: 2, parameters: {lora.rank: {choices: [4, 8]}, lora.use_dora: {choices: [true, false]}, "
        "lora.use_rslora: {choices: [true, false]}}}\n"
    )
    trial = load_config(write(tmp_path, text)).with_values({"lora.use_dora": True, "lora.use_rslora": True, "lora.rank": 4})
    assert (trial.lora.use_dora, trial.lora.use_rslora, trial.lora.effective_alpha) == (True, True, 4.0)


SEARCHED_DECODING = "name: x\nsearch: {trials: 2, parameters: {evaluation.decoding: {choices: [greedy, num_beams=4]}}}\n"


def test_decoding_is_searched_as_a_whole_by_its_short_form_or_by_its_settings(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, SEARCHED_DECODING))
    assert config.with_values({"evaluation.decoding": "num_beams=4"}).evaluation.decoding.num_beams == 4
    beams = "name: x\nsearch: {trials: 2, parameters: {evaluation.decoding.num_beams: {choices: [1, 4]}}}\n"
    assert (
        load_config(write(tmp_path, beams)).with_values({"evaluation.decoding.num_beams": 4}).evaluation.decoding.strategy == "beam"
    )
    together = (
        "name: x\nsearch: {trials: 2, parameters: {evaluation.decoding.temperature: {low: 0.3, high: 1.0}, "
        "evaluation.decoding.top_p: {choices: [0.9, 1.0]}}}\n"
    )
    assert load_config(write(tmp_path, together)).search.trials == 2
    assert load_config(write(tmp_path, "name: x\n"), ["evaluation.decoding=num_beams=2"]).evaluation.decoding.num_beams == 2


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            "{evaluation.decoding: {choices: [gredy]}}",
            "evaluation.decoding: 'gredy': must read `greedy` or",
        ),
        ("{evaluation.decoding: {choices: [{num_beams: 4}]}}", "give `choices` in their short form, such as [greedy, num_beams=4]"),
        ("{evaluation.decoding: {low: 0, high: 1}}", "give `choices` in their short form"),
        ("{evaluation.decoding.beams: {choices: [4]}}", "unknown key `evaluation.decoding.beams`; did you mean 'num_beams'?"),
        (
            "{evaluation.decoding.temperature: {low: 0.0, high: 3.0}}",
            "temperature: must be less than or equal to 2",
        ),
        (
            "{evaluation.decoding.temperature: {choices: [0, 0.7]}, evaluation.decoding.top_p: {choices: [0.9, 1.0]}}",
            "top_p 0.9 would be ignored, since this is greedy; give a temperature above 0, or remove it; "
            "where settings exclude each other, search the whole: evaluation.decoding: {choices: [greedy, num_beams=4]}",
        ),
        (
            "{evaluation.decoding: {choices: [greedy]}, evaluation.decoding.num_beams: {choices: [1, 4]}}",
            "evaluation.decoding holds evaluation.decoding.num_beams; search the whole, or its settings",
        ),
        ("{evaluation.dev_rows: {choices: [4, 8]}}", "evaluation.dev_rows: all trials are asked the same; of `evaluation`, search"),
    ],
)
def test_a_search_that_no_trial_could_answer_is_refused(tmp_path: Path, parameters: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"name: x\nsearch: {{trials: 2, parameters: {parameters}}}\n")


def test_a_first_point_is_one_of_the_choices(tmp_path: Path) -> None:
    text = SEARCHED_DECODING.replace("trials: 2", "trials: 2, first: [{evaluation.decoding: num_beams=5}]")
    assert "first: evaluation.decoding must be one of its choices ['greedy', 'num_beams=4'], got 'num_beams=5'" in problem(
        tmp_path, text
    )


NOTHING_TRAINED = "name: x\nmodel: {tuning: none, adapter: some/adapter}\nsearch: {scheduler: {rungs: [1.0]}}\n"


def test_an_adapter_can_be_asked_without_training_and_its_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(write(tmp_path, NOTHING_TRAINED), ["search.parameters={evaluation.max_new_tokens: {choices: [8]}}"])
    assert config.model.adapter == str(tmp_path / "some" / "adapter")
    assert config.with_values({"evaluation.max_new_tokens": 8}).evaluation.max_new_tokens == 8


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.adapter=null", "model: tuning none trains nothing and needs `adapter`"),
        ("model.tuning=lora", "model: `adapter` is read where tuning is none, and it is lora; remove it, or set `tuning: none`"),
        (
            "search.parameters={lora.rank: {choices: [4, 8]}}",
            "search.parameters.lora.rank: model.tuning is none, so nothing is trained; search evaluation.decoding or",
        ),
        ("mixture.size=5", "mixture: model.tuning is none, so nothing is trained and this would be ignored; remove it"),
        ("train.zero_stage=2", "train: model.tuning is none, so nothing is trained"),
        ("lora.rank=4", "lora: model.tuning is none, so nothing is trained"),
        ("search.scheduler.rungs=[0.5, 1.0]", "search.scheduler.rungs: model.tuning is none, so there is one evaluation a trial"),
    ],
)
def test_what_only_training_reads_is_refused_where_nothing_is_trained(tmp_path: Path, override: str, expected: str) -> None:
    message = problem(tmp_path, NOTHING_TRAINED, override)
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("{parameters: {}}", "no parameters are searched, so all 4 trials would be the same; set trials: 1"),
        ("{parameters: {lora.rank: {low: 8, high: 8}}}", "low must be below high, got 8.0 and 8.0"),
        ("{parameters: {lora.rank: {low: 4, high: .inf}}}", "high: must be a finite number"),
        (
            "{parameters: {lora.rank: {low: 4.5, high: 8}}}",
            "lora.rank: whole numbers are searched from whole numbers to whole numbers",
        ),
        (
            "{parameters: {lora.dropout: {low: 0.0, high: 0.5, step: 0.2}}}",
            "step 0.2 does not lead from 0 to 0.5; set high: 0.4, or another step",
        ),
        ("{parameters: {lora.rank: {choices: [4, 8, 4]}}}", "choices must differ, and 4 stands there twice"),
        (
            "{parameters: {lora.alpha: {low: 1, high: 2, when: {lora.rnk: 4}}, lora.rank: {choices: [4, 8]}}}",
            "parameters.lora.alpha.when.lora.rnk: no such searched key; did you mean 'lora.rank'?",
        ),
        (
            "{parameters: {lora.alpha: {low: 1, high: 2, when: {lora.rank: 16}}, lora.rank: {choices: [4, 8]}}}",
            "parameters.lora.alpha.when.lora.rank: lora.rank never takes 16; it takes [4, 8]",
        ),
        (
            "{parameters: {lora.alpha: {low: 1, high: 2, when: {lora.rank: {low: 65}}}, lora.rank: {low: 4, high: 64}}}",
            "lora.rank never takes {'low': 65}; it takes 4 to 64",
        ),
        (
            "{parameters: {lora.alpha: {low: 1, high: 2, when: {lora.rank: 4}}, "
            "lora.rank: {choices: [4, 8], when: {lora.alpha: 1}}}}",
            "the conditions of lora.alpha, lora.rank go round in a circle; remove one of them",
        ),
        ("{parameters: {mixture.task_weights: {simplex: [a, b], bounds: {a: [0.6, 0.2]}}}}", "a: low must be below high"),
        (
            "{parameters: {mixture.task_weights: {simplex: [a, b], bounds: {c: [0.1, 0.2]}}}}",
            "'c' is not in the simplex ['a', 'b']",
        ),
        (
            "{parameters: {mixture.task_weights: {simplex: [a, b], bounds: {a: [0.6, 0.7], b: [0.6, 0.7]}}}}",
            "the weights sum to 1, and the bounds allow 1.2 to 1.4 alone; widen them",
        ),
        ("{parameters: {lora.rank: {simplex: [a, b]}}}", "weights that sum to 1 are mixture.task_weights alone"),
        (
            "{parameters: {mixture.task_weights: {simplex: [a, b]}, mixture.task_weights.a: {low: 0, high: 1}}}",
            "mixture.task_weights holds mixture.task_weights.a; give that task bounds in the simplex, and remove it",
        ),
        ("{parameters: {data.root: {choices: [a, b]}}}", "data.root: is read once for the whole sweep and would change no trial"),
        ("{parameters: {search.seed: {choices: [1, 2]}}}", "would change no trial; search train.seed"),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, first: [{lora.rank: 16}]}",
            "search.first: lora.rank must lie from 4 to 8, got 16",
        ),
        (
            "{parameters: {lora.use_dora: {choices: [true, false]}, lora.rank: {low: 4, high: 8, when: {lora.use_dora: true}}}, "
            "first: [{lora.use_dora: false, lora.rank: 4}]}",
            "must name exactly the searched keys that apply there: ['lora.use_dora']",
        ),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, first: [{lora.rnk: 4}]}",
            "'lora.rnk' is not searched; did you mean 'lora.rank'?",
        ),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, scheduler: {kind: hyperband}}",
            "scheduler.kind: must be 'asha', 'median' or",
        ),
        ("{parameters: {lora.rank: {low: 4, high: 8}}, objective: {kind: weighted}}", "kind weighted needs `weights`"),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, objective: {weights: {seen: 1}}}",
            "`weights` are read where kind is weighted",
        ),
        ("{parameters: {lora.rank: {low: 4, high: 8}}, objective: {names: [seen]}}", "a front needs two objectives or more"),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, objective: {maximize: sene}}",
            "objective.maximize: must be 'seen', 'unseen' or",
        ),
        (
            "{parameters: {lora.rank: {low: 4, high: 8}}, constraints: {max_memory_gib: 0}}",
            "max_memory_gib: must be greater than 0",
        ),
    ],
)
def test_a_search_that_contradicts_itself_is_told_in_one_line(tmp_path: Path, search: str, expected: str) -> None:
    message = problem(tmp_path, f"name: x\nsearch: {search}\n", "search.trials=4")
    assert expected in message
    assert "\n" not in message


def test_values_that_only_clash_together_are_found_before_anything_starts_and_a_condition_parts_them(tmp_path: Path) -> None:
    clash = (
        "name: x\nsearch: {trials: 2, parameters: {mixture.budget: {choices: [examples, scenario_examples]}, "
        "mixture.generic_fraction: {low: 0.5, high: 1.0%s}}}\n"
    )
    message = problem(tmp_path, clash % "")
    assert "generic_fraction 1 leaves no scenario examples to count" in message
    assert "(drawn together: mixture.budget scenario_examples, mixture.generic_fraction 1.0)" in message
    assert "keep them apart with `when:`, or narrow one of them" in message
    parted = clash % ", when: {mixture.budget: examples}"
    assert load_config(write(tmp_path, parted)).search.trials == 2


def test_a_condition_may_follow_what_it_hangs_on_in_any_order_and_chain(tmp_path: Path) -> None:
    text = (
        "name: x\nsearch: {trials: 2, parameters: {lora.dropout: {choices: [0.0, 0.1], when: {lora.alpha: {low: 8}}}, "
        "lora.alpha: {low: 4, high: 16, when: {lora.rank: [8, 16]}}, lora.rank: {choices: [4, 8, 16]}}}\n"
    )
    assert [*load_config(write(tmp_path, text)).points.parameters] == ["lora.rank", "lora.alpha", "lora.dropout"]
