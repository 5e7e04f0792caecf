"""The answer of a search: a response surface over what was searched, and what it says.

What comes in: finished trials, with the bootstrap noise of their scores. What goes out: an `Answer` for the run's record, and a
sampler that chooses the next trial by the same surface.
"""

from mixwright.search.surface.sampler import STANDARD_ERRORS as STANDARD_ERRORS
from mixwright.search.surface.sampler import SurfaceSampler as SurfaceSampler
