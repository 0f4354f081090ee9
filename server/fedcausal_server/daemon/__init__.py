"""The coordinator's daemon: SuperLink, worker, home, and whether they are well."""
