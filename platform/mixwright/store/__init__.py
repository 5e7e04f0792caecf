"""Where runs, trials and adapters are kept; a folder's completion marker is written last."""
