"""What an endpoint serves: from the arguments of `serve run` and a run folder to one resolved `Endpoint`.

What comes in: the `args` of serve/config.yaml. What goes out: model, complete adapters, scenario and batching, all checked
before a replica is started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mixwright.config import MODEL_NAME, TEMPLATE, ModelConfig, ServeConfig, SweepConfig, load_config
from mixwright.errors import ServeError
from mixwright.generate.loading import adapter_folders
from mixwright.models import COMPLETE
from mixwright.scenarios import Scenario, load_scenario
from mixwright.settings import Settings, expand_environment, validate
from mixwright.store import remote
from mixwright.store.runs import read_result
from serve.adapters import AdapterStore, RemoteAdapterStore

Precision = Literal["auto", "bf16", "fp32"]


class EndpointArguments(Settings):
    """The `args` of the application; a run folder gives all that is left out."""

    run_dir: str | None = "${MIXWRIGHT_RUN:-runs/demo}"
    """Folder of a sweep, or its address (s3://...); null serves `model` alone or with `adapters`."""
    model: ModelConfig | None = None
    """Base model; None: the run's."""
    adapters: str | None = None
    """Folder with one folder an adapter; None: the run's `adapters`."""
    scenario: str | None = None
    """Name or YAML file; None: the run's, or `writing` without a run."""
    precision: Precision = "auto"
    """auto: the faster of bf16 and fp32, measured when the replica starts."""
    serve: ServeConfig | None = None
    """Resources and batching; None: the run's, or the defaults. Host and port stand in `http_options`, not here."""


class Endpoint(Settings):
    """Everything that ingress and replica need."""

    model: ModelConfig
    adapters: dict[str, str]
    """Name -> folder, as they were when the endpoint was settled; later ones are found while it runs."""
    adapters_dir: str = ""
    """Where adapters are looked for; empty: there are none, or those of a run on object storage."""
    scenario: Scenario
    serve: ServeConfig = ServeConfig()
    precision: Precision = "auto"
    run_dir: str = ""
    """Of a run on object storage its address: every node has a working folder of its own."""
    serves_trials: bool = True
    """Adapters of the run's trials too."""

    def folder(self) -> Path:
        """Of the run, on this node.

        Raises:
            StoreError: it is on object storage that does not answer.
        """
        return remote.run_folder(self.run_dir)

    def store(self) -> AdapterStore:
        """The adapters on disk: the folder's, and those of the run's trials."""
        if remote.is_address(self.run_dir) and not self.adapters_dir:
            return RemoteAdapterStore(self.run_dir, serves_trials=self.serves_trials, allow_paths=self.serve.allow_adapter_paths)
        return AdapterStore(
            Path(self.adapters_dir) if self.adapters_dir else None,
            self.folder() / "trials" if self.run_dir and self.serves_trials else None,
            allow_paths=self.serve.allow_adapter_paths,
        )


def resolve(arguments: dict[str, Any]) -> Endpoint:
    """The endpoint that the arguments describe.

    Raises:
        ServeError: no such run folder, no complete adapter in it, or neither a run nor a model.
        ConfigError: an unknown argument, or a value that breaks a rule.
    """
    args = validate(EndpointArguments, arguments, where="serve arguments")
    if not args.run_dir:
        return _without_run(args)
    place = expand_environment(args.run_dir)
    run_dir = remote.run_folder(place) if remote.is_address(place) else Path(place).expanduser().resolve()
    config = _run_config(run_dir)
    scenario = load_scenario(args.scenario or config.scenario).with_unseen(None if args.scenario else config.unseen)
    endpoint = of_run(
        args.serve or config.serve,
        run_dir,
        args.model or _model_of_best(run_dir, config),
        scenario,
        args.precision,
        args.adapters,
    )
    return endpoint.model_copy(update={"serves_trials": serves_trials(config)})


def of_run(
    serve: ServeConfig,
    run_dir: Path,
    model: ModelConfig,
    scenario: Scenario,
    precision: Precision = "auto",
    adapters: str | None = None,
) -> Endpoint:
    """The endpoint of a run whose configuration is at hand.

    Args:
        run_dir: on this node.
        adapters: another folder of adapters than the run's.

    Raises:
        ServeError: the run holds no complete adapter.
        StoreError: the run is on object storage that does not answer.
    """
    address = remote.address_of(run_dir.resolve())
    folder = Path(adapters).expanduser().resolve() if adapters else run_dir.resolve() / "adapters"
    if address and not adapters:
        _bring_adapters(folder)
    return Endpoint(
        model=model,
        adapters=_found_adapters(folder),
        adapters_dir="" if address and not adapters else str(folder),
        scenario=scenario,
        serve=serve,
        precision=precision,
        run_dir=address or str(run_dir.resolve()),
    )


def serves_trials(config: SweepConfig) -> bool:
    """Whether the run's trials have adapters of one base model and template, which an endpoint holds one of."""
    return not {MODEL_NAME, TEMPLATE} & set(config.search.parameters)


def _model_of_best(run_dir: Path, config: SweepConfig) -> ModelConfig:
    """What the best adapter stands on: the file's own model, or that of the best trial where models were searched."""
    result = read_result(run_dir)
    params = result.best.get("params", {}) if result else {}
    return config.with_values({key: value for key, value in params.items() if key in (MODEL_NAME, TEMPLATE)}).model


def _bring_adapters(folder: Path) -> None:
    """The run's own adapters, few; those of trials come when they are asked for."""
    there = remote.mirror_of(folder)
    assert there is not None
    for name in there.names(folder):
        remote.fetch_folder(folder / name, COMPLETE)


def _without_run(args: EndpointArguments) -> Endpoint:
    if args.model is None:
        raise ServeError("serve arguments: run_dir is null and `model` is not given; name one of them")
    return Endpoint(
        model=args.model,
        adapters=_found_adapters(Path(args.adapters).expanduser().resolve()) if args.adapters else {},
        adapters_dir=str(Path(args.adapters).expanduser().resolve()) if args.adapters else "",
        scenario=load_scenario(args.scenario or "writing"),
        serve=args.serve or ServeConfig(),
        precision=args.precision,
    )


def _run_config(run_dir: Path) -> SweepConfig:
    path = run_dir / "config.yaml"
    if not path.exists():
        way_out = "run a sweep first (make demo), or set MIXWRIGHT_RUN to the folder of one"
        raise ServeError(f"{remote.shown(run_dir)}: no run to serve, there is no config.yaml; {way_out}")
    return load_config(path)


def _found_adapters(folder: Path) -> dict[str, str]:
    found = adapter_folders(folder)
    if not found:
        raise ServeError(
            f"{remote.shown(folder)}: no complete adapter to serve; wait for the sweep to end, or go on with it (--resume)"
        )
    return {name: str(path) for name, path in found.items()}
