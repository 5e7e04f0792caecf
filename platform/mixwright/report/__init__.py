"""From a run folder's records to one self-contained HTML file, two tables for regressors, and the table a sweep ends with.

run_folder  records in, and what is missing        svg, marks          how figures and trials are drawn
table       base, copy and best, task by task      landscape, pareto   the search in pictures
verdict     the answer, no more than is shown      curves              the training in pictures
samples     answers before and after               page                all of it in one file
"""

from mixwright.report.page import build
from mixwright.report.table import final_table

__all__ = ["build", "final_table"]
