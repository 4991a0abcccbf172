"""What the app costs, measured on real parts. `make bench` runs it and prints a Markdown table."""
