"""What a check says, and how one that breaks off becomes a line like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mixwright.errors import MixwrightError

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    """ok: as it should be; warn: a sweep runs, but slower or not for long; fail: a sweep would not run, or not as asked."""
    found: str
    advice: str = ""
    """What to do; empty where it is ok."""

    @property
    def line(self) -> str:
        """ok    python      3.11.2"""
        return f"{self.status:<5} {self.name:<14} {self.found}" + (f"; {self.advice}" if self.advice else "")


def attempt(name: str, check: Callable[[], Check | Iterable[Check]]) -> list[Check]:
    """What a check says; whatever it raises is a failed check of this name, after what it had said before."""
    said: list[Check] = []
    try:
        outcome = check()
        for item in [outcome] if isinstance(outcome, Check) else outcome:
            said.append(item)
    except MixwrightError as error:
        said.append(Check(name=name, status="fail", found=str(error)))
    except ImportError as error:
        said.append(Check(name=name, status="fail", found=f"cannot be looked at: {error}", advice="run `make setup`"))
    except Exception as error:  # a diagnosis goes on behind whatever is broken
        cause = (str(error).strip().splitlines() or [""])[0]
        said.append(Check(name=name, status="fail", found=f"{type(error).__name__}: {cause}", advice="mend what it names"))
    return said
