"""The parts of a ticker's page: each function takes `TickerData` and returns a `Section`.

Where something was not computed, a section says so in a sentence and with the remedy.
"""
