"""The doctor: small checks of a machine, a cluster and a space, each of which says what it found and what to do.

What comes in: nothing, or a search space and the folder of its run. What goes out: `Check`s; nothing is changed. A check imports
what it looks at when it is called, so that a broken library costs its own line and no other. `jobs/doctor.py` puts them in order.
"""
