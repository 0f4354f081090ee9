"""The sum of the sites' integer vectors, and nothing else: pure steps of the three roles.

`site`, `aggregator` and `steward` hold one role each; their steps take a state and a message and
give back a new state and a reply. `in_process` runs all roles in one process, `oracle` is the
same sum over plain integers. Message kinds and headers are listed in `headers`.

A run goes hello (identities; the steward's fresh encryption key), advertise (manifest; each
site's ephemeral key), freeze (each site signs the roster), then any number of rounds of upload
(masked, encrypted, signed vectors) and decrypt (one decryption of each complete sum).
"""
