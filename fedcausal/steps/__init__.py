"""The pure steps of a study, one part each: state and released totals in, requests out."""
