"""What runs at the coordinator: the Flower ServerApp, secure rounds, workflow and run store."""
