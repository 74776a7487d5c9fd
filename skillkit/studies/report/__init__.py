"""The report: an offline site of plain HTML."""
