"""From a run folder's records to one self-contained HTML file."""
