"""What each command of the command line does; `volassets.cli` declares them."""
