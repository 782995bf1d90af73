"""What scoring makes: score tables and quarantine tables."""
