"""A site's rows: where they are, how they are read, and whether a study can use them."""
