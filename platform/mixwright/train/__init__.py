"""From a mixture to an adapter: the recipe (loop), warm worker groups (lane), ZeRO (zero), what is kept (checkpoint)."""
