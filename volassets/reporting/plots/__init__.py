"""The pictures: each function takes a frame and returns a matplotlib figure with units on its axes."""
