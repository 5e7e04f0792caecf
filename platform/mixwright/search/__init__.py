"""From a search space to finished trials and the best one: space, objective, sweep."""
