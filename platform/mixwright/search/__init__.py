"""From a search space to finished trials and the best one: space, objective, sweep."""

import os

# Ray reads these when it is imported. The two lines that are skipped speak of idle actors and of Serve's own shutdown: neither
# says anything of a run, and both look like trouble.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker processes have been started on node|graceful_shutdown failed")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own progress table; ours tells the same in a line
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
