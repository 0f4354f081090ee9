"""Small counts: which entries of a total are withheld, and what may be said of them."""
