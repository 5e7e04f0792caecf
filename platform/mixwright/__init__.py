"""Mixwright: which data mix and which LoRA rank make a small model best at a scenario, and what it costs elsewhere."""

__version__ = "0.1.0"
