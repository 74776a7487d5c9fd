"""What only saves time: every result is the same without it."""
