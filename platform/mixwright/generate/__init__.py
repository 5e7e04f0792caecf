"""From a model and inputs to greedy outputs; engines stand behind one Protocol."""
