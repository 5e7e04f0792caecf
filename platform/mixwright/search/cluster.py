"""The Ray cluster that a sweep runs on: the one a job was submitted to, one named in the configuration, or a local one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from mixwright.config import ClusterConfig
from mixwright.errors import HardwareError
from mixwright.train.operators import use_own_compiler

logger = logging.getLogger(__name__)


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


def _prepare_environment() -> None:
    """Settings that every Ray process of ours inherits; what the user has set stands."""
    for noisy in ("ray.serve", "ray.tune", "ray.train"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Tune's CSV, JSON and TensorBoard files repeat trials.jsonl, and a lane would wait for them between two trials.
    logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)  # it misses those files
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # interruption.py has its own, for SIGTERM too
    use_own_compiler()
