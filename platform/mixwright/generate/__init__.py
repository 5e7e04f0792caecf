"""From a model and inputs to outputs; engines stand behind one Protocol."""
