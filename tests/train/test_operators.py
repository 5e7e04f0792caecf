"""Every process compiles with, and finds extensions in, its own Python environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mixwright.train.operators import CACHE_VARIABLE, use_own_compiler

PROGRAMS = str(Path(sys.executable).parent)


def test_the_environments_own_programs_come_first_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", PROGRAMS, "/bin"]))
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    use_own_compiler()
    use_own_compiler()
    assert os.environ["PATH"].split(os.pathsep) == [PROGRAMS, "/usr/bin", "/bin"]


def test_extensions_are_kept_in_the_environment_unless_the_user_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    use_own_compiler()
    assert Path(os.environ[CACHE_VARIABLE]).parent == Path(sys.prefix)
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    use_own_compiler()
    assert os.environ[CACHE_VARIABLE] == "/elsewhere"


def test_an_environment_that_cannot_be_written_to_leaves_the_cache_where_torch_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", "/no/such/environment")
    use_own_compiler()
    assert CACHE_VARIABLE not in os.environ
