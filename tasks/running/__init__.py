"""What surrounds a run: environment, command line, locks, server, progress and events."""
