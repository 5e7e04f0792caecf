"""From files to checked, split examples. `prepare.prepare` is the way in."""
