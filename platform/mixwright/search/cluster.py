"""The Ray cluster that a sweep runs on: the one a job was submitted to, one named in the configuration, or a local one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from mixwright.config import ClusterConfig
from mixwright.errors import HardwareError
from mixwright.native import use_own_compiler
from mixwright.train.lane import on_this_node

logger = logging.getLogger(__name__)

TURN_RETRY_S = 2.0


@contextmanager
def connected(cluster: ClusterConfig) -> Iterator[None]:
    """A connection to Ray for the length of the block; a cluster that was started here ends with it.

    Raises:
        HardwareError: the named cluster does not answer, or a local one would hold no GPU where one is asked for.
    """
    _prepare_environment()
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            context = ray.init(address=address, log_to_driver=False)
        else:
            # A cluster for this process alone, on loopback: nobody else can reach it, so a token would only be in the way.
            os.environ.setdefault("RAY_AUTH_MODE", "disabled")
            context = ray.init(
                address="local",
                include_dashboard=cluster.dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                configure_logging=True,
                logging_level=logging.ERROR,
            )
    except ConnectionError as error:
        raise HardwareError(f"cluster.address: no Ray cluster answers at {address} ({str(error).splitlines()[0]})") from None
    where = "the cluster" if address else "a local cluster"
    url = getattr(context, "dashboard_url", None)
    logger.info("Ray %s on %s%s", ray.__version__, where, f", dashboard http://{url}" if url else "")
    try:
        yield
    finally:
        ray.shutdown()


class _Turn:
    """An actor that is there while its sweep uses Ray Serve; it dies with its driver, however that does."""

    def ready(self) -> bool:
        return True


@contextmanager
def endpoint_turn() -> Iterator[None]:
    """The cluster's Ray Serve for this sweep alone, for the length of the block: it is one for all, and each sweep shuts it
    down."""
    turn: Any = None
    waiting = False
    while turn is None:
        try:
            options = {"name": "endpoint", "namespace": "mixwright", "scheduling_strategy": on_this_node()}
            turn = ray.remote(num_cpus=0)(_Turn).options(**options).remote()
            ray.get(turn.ready.remote())
        except ValueError:  # the name is taken
            if not waiting:
                logger.info("another sweep of this cluster uses its endpoint; waiting for it")
            waiting, turn = True, None
            time.sleep(TURN_RETRY_S)
    try:
        yield
    finally:
        ray.kill(turn)


def _prepare_environment() -> None:
    """Settings that every Ray process of ours inherits; what the user has set stands."""
    for noisy in ("ray.serve", "ray.tune", "ray.train"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Tune's CSV, JSON and TensorBoard files repeat trials.jsonl, and a lane would wait for them between two trials.
    logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)  # it misses those files
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # Tune's own state of the search, which it writes again whole, grows with the trials, and nobody reads it.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")
    # Tune would start so many lanes at once as there may be at the beginning; how many there may be is the searcher's to say.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000000")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # interruption.py has its own, for SIGTERM too
    use_own_compiler()
