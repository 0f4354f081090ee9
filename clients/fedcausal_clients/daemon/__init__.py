"""A party's daemon: its node, its worker, its home, and whether they are well."""
