"""What the daemons of sites and coordinator share: the bundle, child processes, tasks."""
