"""The published tables as data, and the sweep that trains every cell of them."""
