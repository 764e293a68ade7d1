"""`python -m volassets`."""

from volassets.cli import main

main()
