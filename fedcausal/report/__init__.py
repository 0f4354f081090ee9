"""What people read: the HTML report, the drawing of the graph, the run card."""
