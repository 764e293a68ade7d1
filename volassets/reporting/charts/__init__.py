"""The charts of a page: each function turns rows into a `Chart`, whose numbers the page holds once and uPlot draws."""
