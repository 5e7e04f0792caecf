"""Evaluations over HTTP: asked for once, worked on behind the interactive requests, kept in the run folder.

`routes` speaks HTTP, `plan` settles what is asked, `folder` keeps it, `evaluator` asks and scores, `replica` runs it on Ray Serve.
"""
