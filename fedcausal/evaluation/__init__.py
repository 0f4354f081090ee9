"""How close graphs, models and their answers come to what is known."""
