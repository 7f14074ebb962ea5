"""The report of a run: one self-contained HTML page, made from saved files only."""

from fedapp.report.page import write_report

__all__ = ["write_report"]
