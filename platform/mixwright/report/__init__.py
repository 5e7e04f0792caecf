"""From the records of a run to a page, Markdown and CSV; of several runs, to a comparison; and the table a sweep ends with.

run_folder   records in, and what is missing       svg, marks          how figures and trials are drawn
table        every system, task by task            landscape, pareto   the search in pictures
readings     what a difference allows to say       curves, bars        training and scores in pictures
verdict      the answer, no more than is shown     details             what stands behind a score
samples      answers row by row                    seed_variance       points repeated over seeds
page         all of it in one file                 markdown, csv_files the same numbers for papers
comparison   several runs side by side             comparability       what keeps their numbers apart
common_numbers  what shared rows spare a comparison
text_table   the table that a sweep ends with
"""

from mixwright.report.comparison import compare
from mixwright.report.page import build
from mixwright.report.text_table import final_table

__all__ = ["build", "compare", "final_table"]
