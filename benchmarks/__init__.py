"""What things cost: `make bench`, or `python -m benchmarks NAME...`. Ratios within one run are what to compare."""
